mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/headwater-test" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF" }
  }
  mock_resource "aws_eks_cluster" {
    defaults = { identity = [{ oidc = [{ issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF" }] }] }
  }
  mock_resource "aws_eks_node_group" {
    defaults = { resources = [{ autoscaling_groups = [{ name = "eks-general" }], remote_access_security_group_id = "" }] }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  name               = "headwater-test"
  kubernetes_version = "1.32"
  account_id         = "123456789012"
  subnets            = { us-east-1a = "subnet-0a", us-east-1b = "subnet-0b" }
  admins             = { platform = "arn:aws:iam::123456789012:role/platform" }
  general            = { instance_types = ["m7i.xlarge"], nodes_per_zone = { min = 1, initial = 1, max = 4 } }
  log_retention_days = 30
  log_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "the_api_is_private_and_secrets_are_encrypted" {
  command = apply

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "Unless networks are named, only the VPC reaches the API."
  }
  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == aws_kms_key.secrets.arn && aws_kms_key.secrets.enable_key_rotation
    error_message = "Secrets are encrypted by a key of our own that is rotated."
  }
  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.control_plane.kms_key_id == var.log_key_arn && aws_cloudwatch_log_group.control_plane.retention_in_days == 30
    error_message = "All logs are kept, encrypted, and not for ever."
  }
}

run "admins_are_named_and_the_creator_is_none" {
  command = apply

  assert {
    condition     = !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions && aws_eks_cluster.this.access_config[0].authentication_mode == "API"
    error_message = "Access is what the table says."
  }
  assert {
    condition     = [for admin in aws_eks_access_policy_association.admin : admin.principal_arn] == ["arn:aws:iam::123456789012:role/platform"]
    error_message = "The named role administers, and no other."
  }
}

run "network_policies_are_enforced" {
  command = apply

  assert {
    condition     = jsondecode(aws_eks_addon.network.configuration_values).enableNetworkPolicy == "true"
    error_message = "Default-deny means nothing without it."
  }
}

run "each_zone_has_its_general_nodes" {
  command = apply

  assert {
    condition     = { for zone, group in module.general : zone => one(group.group.subnet_ids) } == { us-east-1a = "subnet-0a", us-east-1b = "subnet-0b" }
    error_message = "Volumes stay in their zone, so nodes must come there."
  }
  assert {
    condition     = alltrue([for group in module.general : group.group.labels["headwater.dev/pool"] == "general" && length(group.group.taint) == 0])
    error_message = "General nodes take everything that tolerates nothing."
  }
}

run "addons_are_roles_of_their_own_service_account" {
  command = apply

  assert {
    condition = {
      for addon, role in aws_iam_role.addon :
      addon => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF:sub"]
      } == {
      vpc-cni            = "system:serviceaccount:kube-system:aws-node"
      aws-ebs-csi-driver = "system:serviceaccount:kube-system:ebs-csi-controller-sa"
    }
    error_message = "No other pod may be them, and nodes may neither."
  }
  assert {
    condition     = toset([for attachment in aws_iam_role_policy_attachment.node : attachment.policy_arn]) == toset(["arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy", "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"])
    error_message = "Nodes join and pull, no more."
  }
}

run "an_api_for_everyone_is_refused" {
  command = plan
  variables {
    api_networks = ["0.0.0.0/0"]
  }
  expect_failures = [var.api_networks]
}

run "an_old_version_is_refused" {
  command = plan
  variables {
    kubernetes_version = "1.31"
  }
  expect_failures = [var.kubernetes_version]
}

run "a_cluster_without_an_administrator_is_refused" {
  command = plan
  variables {
    admins = {}
  }
  expect_failures = [var.admins]
}

run "names_and_zones_are_checked" {
  command = plan
  variables {
    name    = "Headwater"
    subnets = { us-east-1a = "subnet-0a" }
  }
  expect_failures = [var.name, var.subnets]
}
