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
    condition     = module.platform.gpus_per_node == { embed = 4, rerank = 4, generate = 1 }
    error_message = "Four servers of small models share a GPU."
  }
  assert {
    condition     = alltrue([for pool in module.platform.gpu_pools : pool.nodes.min == 0 && pool.nodes.initial == 0])
    error_message = "No GPU is paid for until something asks for it."
  }
  assert {
    condition     = alltrue([for pool in module.platform.gpu_pools : pool.spot])
    error_message = "Nobody waits for dev: spot is enough."
  }
  assert {
    condition = alltrue([
      for name, pool in module.platform.gpu_pools :
      [for taint in pool.taints : "${taint.key}=${taint.value}:${taint.effect}"] == ["nvidia.com/gpu=present:NoSchedule", "headwater.dev/pool=${name}:NoSchedule"]
    ])
    error_message = "The taints are those that infra/k8s tolerates."
  }
}

run "an_api_for_everyone_is_refused" {
  command = plan
  variables {
    api_networks = ["10.0.0.0/8"]
  }
  expect_failures = [var.api_networks]
}

run "a_cluster_of_nobody_is_refused" {
  command = plan
  variables {
    admins = {}
  }
  expect_failures = [var.admins]
}
