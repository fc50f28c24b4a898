mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

variables {
  admins = { platform = "arn:aws:iam::123456789012:role/platform" }
}

run "plan" {
  command = plan

  assert {
    condition     = module.platform.gpus_per_node == { embed = 1, rerank = 1, generate = 1 }
    error_message = "infra/autoscaling reckons with one GPU per node."
  }
  assert {
    condition     = alltrue([for pool in module.platform.gpu_pools : pool.nodes.min == 0])
    error_message = "The pods' own minimum decides, and no second one."
  }
  assert {
    condition     = !anytrue([for pool in module.platform.gpu_pools : pool.spot])
    error_message = "Somebody waits for an answer: nodes are not taken away."
  }
  assert {
    # infra/k8s/components/keda keeps two of tei-embed, tei-rerank and vllm.
    condition     = alltrue([for pool in module.platform.gpu_pools : pool.nodes.initial == 2])
    error_message = "What is always warm has its nodes from the start."
  }
  assert {
    condition     = alltrue([for name, pool in module.platform.gpu_pools : pool.labels["headwater.dev/pool"] == name])
    error_message = "Each group bears the name of its pool."
  }
  assert {
    condition     = output.cluster_name == "headwater-prod"
    error_message = "The environment is the cluster's name."
  }
}

run "a_cluster_of_nobody_is_refused" {
  command = plan
  variables {
    admins = {}
  }
  expect_failures = [var.admins]
}
