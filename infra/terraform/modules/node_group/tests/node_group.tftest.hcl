mock_provider "aws" {
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  cluster_name       = "headwater-test"
  kubernetes_version = "1.32"
  name               = "general"
  node_role_arn      = "arn:aws:iam::123456789012:role/headwater-test-node"
  subnet_ids         = ["subnet-0a", "subnet-0b"]
  instance_types     = ["m7i.xlarge"]
  nodes              = { min = 0, initial = 1, max = 3 }
  disk_gib           = 100
  labels             = { "headwater.dev/pool" = "general" }
}

run "disks_are_encrypted_and_credentials_stay_on_the_node" {
  command = plan

  assert {
    condition     = alltrue([for disk in aws_launch_template.this.block_device_mappings : tobool(disk.ebs[0].encrypted)])
    error_message = "Every disk is encrypted."
  }
  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Pods must not reach the node's credentials."
  }
  assert {
    condition     = aws_launch_template.this.user_data == null
    error_message = "No settings, no user data."
  }
}

run "a_group_can_be_empty_and_the_autoscaler_knows_its_disk" {
  command = plan

  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].min_size == 0
    error_message = "Zero nodes are allowed."
  }
  assert {
    condition     = one(aws_autoscaling_group_tag.resource["ephemeral-storage"].tag).value == "100Gi"
    error_message = "Without it a pod that asks for ephemeral storage never wakes an empty group."
  }
}

run "spot_and_taints_are_passed_on" {
  command = plan
  variables {
    capacity = "spot"
    taints   = [{ key = "headwater.dev/pool", value = "kafka", effect = "NoSchedule" }]
  }

  assert {
    condition     = aws_eks_node_group.this.capacity_type == "SPOT"
    error_message = "Spot nodes are bought as such."
  }
  assert {
    condition     = [for taint in aws_eks_node_group.this.taint : "${taint.key}=${taint.value}:${taint.effect}"] == ["headwater.dev/pool=kafka:NO_SCHEDULE"]
    error_message = "The taint is set, in EKS' spelling."
  }
}

run "more_at_the_start_than_at_most_is_refused" {
  command = plan
  variables {
    nodes = { min = 0, initial = 4, max = 3 }
  }
  expect_failures = [var.nodes]
}

run "an_evicting_taint_is_refused" {
  command = plan
  variables {
    taints = [{ key = "a", value = "b", effect = "NoExecute" }]
  }
  expect_failures = [var.taints]
}

run "another_system_is_refused" {
  command = plan
  variables {
    ami_type = "AL2_x86_64"
  }
  expect_failures = [var.ami_type]
}

run "names_disks_types_and_capacity_are_checked" {
  command = plan
  variables {
    name           = "General"
    disk_gib       = 8
    disk_mib_s     = 1200
    instance_types = []
    subnet_ids     = []
    capacity       = "reserved"
  }
  expect_failures = [var.name, var.disk_gib, var.disk_mib_s, var.instance_types, var.subnet_ids, var.capacity]
}
