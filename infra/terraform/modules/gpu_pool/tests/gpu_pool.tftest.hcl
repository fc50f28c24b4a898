mock_provider "aws" {
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  # As EKS answers: the autoscaling group that tags are put on.
  mock_resource "aws_eks_node_group" {
    defaults = { resources = [{ autoscaling_groups = [{ name = "eks-embed" }], remote_access_security_group_id = "" }] }
  }
}

variables {
  cluster_name       = "headwater-test"
  kubernetes_version = "1.32"
  name               = "embed"
  pool               = "embed"
  node_role_arn      = "arn:aws:iam::123456789012:role/headwater-test-node"
  subnet_ids         = ["subnet-0a", "subnet-0b"]
  instance_types     = ["g6.xlarge", "g5.xlarge"]
  nodes              = { max = 4 }
}

run "a_pool_may_be_empty_and_brings_driver_and_plugin" {
  command = apply

  assert {
    condition     = module.nodes.group.scaling_config[0].min_size == 0 && module.nodes.group.scaling_config[0].desired_size == 0
    error_message = "GPU nodes are not kept for nothing."
  }
  assert {
    condition     = module.nodes.group.ami_type == "BOTTLEROCKET_x86_64_NVIDIA"
    error_message = "The image must carry driver and device plugin."
  }
  assert {
    condition     = module.nodes.group.labels == tomap({ "headwater.dev/pool" = "embed", "k8s.amazonaws.com/accelerator" = "L4" })
    error_message = "Pods select the pool by the first label, and the autoscaler knows by the second that a GPU is to come."
  }
  assert {
    condition = toset([for taint in module.nodes.group.taint : "${taint.key}=${taint.value}:${taint.effect}"]) == toset([
      "nvidia.com/gpu=present:NO_SCHEDULE", "headwater.dev/pool=embed:NO_SCHEDULE",
    ])
    error_message = "Both taints keep other pods away."
  }
  assert {
    condition     = output.gpus_per_node == 1
    error_message = "g6.xlarge has one L4."
  }
}

run "time_slices_are_offered_as_gpus" {
  command = apply
  variables {
    sharing = { mode = "time-slicing", pods = 4 }
  }

  assert {
    condition     = strcontains(base64decode(module.nodes.user_data), "replicas = 4\n") && strcontains(base64decode(module.nodes.user_data), "rename-by-default = false")
    error_message = "The device plugin divides each GPU by four and keeps its name."
  }
  assert {
    condition     = module.nodes.extended_resources["nvidia.com/gpu"] == "4"
    error_message = "The autoscaler must know that an empty group offers four."
  }
}

run "mig_parts_an_a100_and_an_h100" {
  command = apply
  variables {
    name           = "generate"
    pool           = "generate"
    instance_types = ["p4d.24xlarge"]
    sharing        = { mode = "mig", pods = 2 }
  }

  assert {
    condition     = strcontains(base64decode(module.nodes.user_data), "\"a100.40gb\" = \"2\"")
    error_message = "Two parts of 20 GB each."
  }
  assert {
    condition     = output.gpus_per_node == 16
    error_message = "Eight A100 in two parts each."
  }
}

run "mig_on_an_l4_is_refused" {
  command = plan
  variables {
    sharing = { mode = "mig", pods = 2 }
  }
  expect_failures = [var.sharing]
}

run "an_unknown_instance_type_is_refused" {
  command = plan
  variables {
    instance_types = ["g4dn.xlarge"]
  }
  expect_failures = [var.instance_types]
}

run "instance_types_of_different_size_are_refused" {
  command = plan
  variables {
    instance_types = ["g6.xlarge", "g6.12xlarge"]
  }
  expect_failures = [var.instance_types]
}
