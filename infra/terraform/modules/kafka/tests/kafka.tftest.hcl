mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_msk_configuration" {
    defaults = { arn = "arn:aws:kafka:us-east-1:123456789012:configuration/headwater-test/11111111-2222-3333-4444-555555555555-1", latest_revision = 1 }
  }
  mock_resource "aws_msk_cluster" {
    defaults = { arn = "arn:aws:kafka:us-east-1:123456789012:cluster/headwater-test/11111111-2222-3333-4444-555555555555-1" }
  }
  mock_resource "aws_eks_node_group" {
    defaults = { resources = [{ autoscaling_groups = [{ name = "eks-kafka" }], remote_access_security_group_id = "" }] }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  cluster_name             = "headwater-test"
  kubernetes_version       = "1.32"
  account_id               = "123456789012"
  node_role_arn            = "arn:aws:iam::123456789012:role/headwater-test-node"
  vpc_id                   = "vpc-0a"
  subnets                  = { us-east-1a = "subnet-0a", us-east-1b = "subnet-0b", us-east-1c = "subnet-0c" }
  client_security_group_id = "sg-0a"
  hosting                  = "nodes"
  instance_type            = "m7i.large"
  log_retention_days       = 30
  log_key_arn              = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "brokers_have_a_node_per_zone_that_they_alone_may_use" {
  command = apply

  assert {
    condition     = output.nodes == 3 && length(module.nodes) == 3 && length(aws_msk_cluster.this) == 0
    error_message = "Three nodes, and no MSK."
  }
  assert {
    condition = alltrue([
      for group in module.nodes :
      group.group.labels["headwater.dev/pool"] == "kafka" && one(group.group.taint).value == "kafka" && one(group.group.taint).effect == "NO_SCHEDULE"
    ])
    error_message = "Brokers share with no one."
  }
  assert {
    condition     = output.bootstrap == "headwater-kafka-bootstrap:9093"
    error_message = "Strimzi's own service, by TLS."
  }
}

run "shared_brokers_have_no_nodes_and_name_no_type" {
  command = plan
  variables {
    hosting       = "shared"
    instance_type = null
  }

  assert {
    condition     = output.nodes == 0 && length(aws_msk_cluster.this) == 0 && output.bootstrap == "headwater-kafka-bootstrap:9093"
    error_message = "Nothing is made: Strimzi puts them among the general nodes."
  }
}

run "msk_is_encrypted_and_lets_nobody_in_without_a_password" {
  command = apply
  variables {
    hosting       = "msk"
    instance_type = "kafka.m7g.large"
  }

  assert {
    condition     = length(module.nodes) == 0 && aws_msk_cluster.this[0].number_of_broker_nodes == 3
    error_message = "MSK takes the nodes' place."
  }
  assert {
    condition     = aws_msk_cluster.this[0].encryption_info[0].encryption_in_transit[0].client_broker == "TLS" && aws_msk_cluster.this[0].encryption_info[0].encryption_in_transit[0].in_cluster && aws_msk_cluster.this[0].encryption_info[0].encryption_at_rest_kms_key_arn == aws_kms_key.msk[0].arn
    error_message = "Records are encrypted on the way and at rest."
  }
  assert {
    condition     = aws_msk_cluster.this[0].client_authentication[0].sasl[0].scram && aws_msk_cluster.this[0].client_authentication[0].unauthenticated != true
    error_message = "SCRAM alone."
  }
  assert {
    condition     = strcontains(aws_msk_configuration.this[0].server_properties, "min.insync.replicas=2") && strcontains(aws_msk_configuration.this[0].server_properties, "allow.everyone.if.no.acl.found=false")
    error_message = "Two brokers acknowledge, and no ACL means no access."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.msk[0].referenced_security_group_id == "sg-0a" && aws_vpc_security_group_ingress_rule.msk[0].cidr_ipv4 == null
    error_message = "Nodes alone reach the brokers."
  }
}

run "two_zones_are_refused" {
  command = plan
  variables {
    subnets = { us-east-1a = "subnet-0a", us-east-1b = "subnet-0b" }
  }
  expect_failures = [var.subnets]
}

run "nodes_without_a_type_are_refused" {
  command = plan
  variables {
    instance_type = null
  }
  expect_failures = [var.instance_type]
}

run "a_type_of_the_other_hosting_is_refused" {
  command = plan
  variables {
    hosting = "msk"
  }
  expect_failures = [var.instance_type]
}

run "hosting_counts_and_versions_are_checked" {
  command = plan
  variables {
    hosting          = "confluent"
    brokers_per_zone = 0
    msk_version      = "3.8.x"
  }
  expect_failures = [var.hosting, var.brokers_per_zone, var.msk_version]
}
