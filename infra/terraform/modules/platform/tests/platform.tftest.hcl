mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/headwater/headwater-test" }
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
    defaults = { resources = [{ autoscaling_groups = [{ name = "eks-group" }], remote_access_security_group_id = "" }] }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_prometheus_workspace" {
    defaults = { arn = "arn:aws:aps:us-east-1:123456789012:workspace/ws-1", prometheus_endpoint = "https://aps.example/workspaces/ws-1/" }
  }
}

variables {
  name               = "headwater-test"
  region             = "us-east-1"
  zones              = ["us-east-1a", "us-east-1b", "us-east-1c"]
  cidr               = "10.42.0.0/16"
  nat_per_zone       = true
  admins             = { platform = "arn:aws:iam::123456789012:role/platform" }
  log_retention_days = 30
  general            = { instance_types = ["m7i.2xlarge"], nodes_per_zone = { min = 1, initial = 1, max = 2 } }
  gpu_pools = {
    embed      = { pool = "embed", instance_types = ["g6.xlarge"], nodes = { max = 2 } }
    embed-spot = { pool = "embed", instance_types = ["g6.xlarge"], nodes = { max = 2 }, capacity = "spot" }
    rerank     = { pool = "rerank", instance_types = ["g6.xlarge"], nodes = { max = 2 } }
    generate   = { pool = "generate", instance_types = ["p4d.24xlarge"], nodes = { max = 1 }, sharing = { mode = "mig", pods = 2 } }
  }
}

run "the_overlays_learn_what_they_need" {
  command = apply

  assert {
    condition = alltrue([for line in [
      "AWS_REGION=us-east-1",
      "CLUSTER_NAME=headwater-test",
      "KAFKA_BOOTSTRAP=headwater-kafka-bootstrap:9093",
      "HEADWATER_OBJECTS=s3://headwater-test-claims-123456789012",
      "BUCKET_MILVUS=headwater-test-milvus-123456789012",
      "BUCKET_MODELS=headwater-test-models-123456789012",
      "ROLE_CHUNK=arn:aws:iam::123456789012:role/headwater-test",
      "ROLE_MILVUS=arn:aws:iam::123456789012:role/headwater-test",
      "PROMETHEUS_ENDPOINT=https://aps.example/workspaces/ws-1/",
    ] : contains(split("\n", output.settings_env), line)])
    error_message = "A line that overlays read is missing."
  }
  assert {
    condition     = alltrue([for line in compact(split("\n", output.settings_env)) : can(regex("^[A-Z_]+=[^ ]+$", line))])
    error_message = "Each line is NAME=value, with a value, as kustomize reads it."
  }
}

run "a_pool_may_have_groups_of_both_kinds" {
  command = apply

  assert {
    condition     = output.gpu_pools["embed"].labels == output.gpu_pools["embed-spot"].labels && output.gpu_pools["embed-spot"].spot && !output.gpu_pools["embed"].spot
    error_message = "Spot nodes are of the same pool as others."
  }
  assert {
    condition     = output.gpus_per_node == { embed = 1, embed-spot = 1, rerank = 1, generate = 16 }
    error_message = "Eight A100 in two parts each are sixteen."
  }
}

run "a_pool_without_nodes_is_refused" {
  command = plan
  variables {
    gpu_pools = { embed = { pool = "embed", instance_types = ["g6.xlarge"], nodes = { max = 2 } } }
  }
  expect_failures = [var.gpu_pools]
}
