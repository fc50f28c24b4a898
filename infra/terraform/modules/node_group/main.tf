# One managed group of Bottlerocket nodes: no shell, a read-only root, disks encrypted, and credentials of the node out of
# the reach of pods.

resource "aws_launch_template" "this" {
  name_prefix            = "${var.cluster_name}-${var.name}-"
  update_default_version = true
  # EKS adds what a node needs to join; these are settings on top.
  user_data = var.bottlerocket_settings == "" ? null : base64encode(var.bottlerocket_settings)

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # One hop ends at the node: pods have roles of their own (module identity).
    http_put_response_hop_limit = 1
  }

  # Bottlerocket keeps the system on the first volume, at the size of its image, and images and pods' files on the second.
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      encrypted             = true
      delete_on_termination = true
    }
  }
  block_device_mappings {
    device_name = "/dev/xvdb"
    ebs {
      encrypted             = true
      delete_on_termination = true
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      throughput            = var.disk_mib_s
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.cluster_name}-${var.name}" }
  }
}

resource "aws_eks_node_group" "this" {
  cluster_name    = var.cluster_name
  node_group_name = var.name
  node_role_arn   = var.node_role_arn
  subnet_ids      = var.subnet_ids
  version         = var.kubernetes_version
  ami_type        = var.ami_type
  capacity_type   = var.capacity == "spot" ? "SPOT" : "ON_DEMAND"
  instance_types  = var.instance_types
  labels          = var.labels

  scaling_config {
    min_size     = var.nodes.min
    desired_size = var.nodes.initial
    max_size     = var.nodes.max
  }

  dynamic "taint" {
    for_each = var.taints
    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = "NO_SCHEDULE"
    }
  }

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # One at a time: disruption budgets of the pods on them allow one, too.
  update_config {
    max_unavailable = 1
  }

  lifecycle {
    # The autoscaler moves it.
    ignore_changes = [scaling_config[0].desired_size]
  }
}

# Of a group without nodes the autoscaler reads labels and taints from EKS, but neither the disk nor shared GPUs.
resource "aws_autoscaling_group_tag" "resource" {
  for_each               = merge({ "ephemeral-storage" = "${var.disk_gib}Gi" }, var.extended_resources)
  autoscaling_group_name = aws_eks_node_group.this.resources[0].autoscaling_groups[0].name

  tag {
    key                 = "k8s.io/cluster-autoscaler/node-template/resources/${each.key}"
    value               = each.value
    propagate_at_launch = false
  }
}
