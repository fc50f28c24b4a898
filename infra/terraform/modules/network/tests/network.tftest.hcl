mock_provider "aws" {}

variables {
  name               = "headwater-test"
  region             = "us-east-1"
  zones              = ["us-east-1a", "us-east-1b", "us-east-1c"]
  cidr               = "10.40.0.0/16"
  nat_per_zone       = true
  log_retention_days = 30
  log_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "each_zone_has_both_subnets_and_a_way_out_of_its_own" {
  command = plan

  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_subnet.public) == 3 && length(aws_nat_gateway.this) == 3
    error_message = "A zone lost must cost the others nothing."
  }
  assert {
    condition     = length(distinct(concat([for subnet in aws_subnet.private : subnet.cidr_block], [for subnet in aws_subnet.public : subnet.cidr_block]))) == 6
    error_message = "No two subnets share a range."
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.map_public_ip_on_launch != true])
    error_message = "Nothing gets a public address by standing in a subnet."
  }
}

run "dev_may_share_one_nat" {
  command = plan
  variables {
    nat_per_zone = false
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route_table.private) == 3
    error_message = "One way out for all zones."
  }
}

run "the_default_group_is_closed_and_traffic_is_logged_encrypted" {
  command = plan

  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default group lets nothing in or out."
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flow.kms_key_id == var.log_key_arn && aws_cloudwatch_log_group.flow.retention_in_days == 30
    error_message = "Flow logs are complete, encrypted and not kept for ever."
  }
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zones = ["us-east-1a"]
  }
  expect_failures = [var.zones]
}

run "a_zone_of_another_region_is_refused" {
  command = plan
  variables {
    zones = ["us-east-1a", "eu-west-1a"]
  }
  expect_failures = [var.zones]
}

run "a_range_too_small_for_pods_is_refused" {
  command = plan
  variables {
    cidr = "10.40.0.0/24"
  }
  expect_failures = [var.cidr]
}

run "a_region_must_look_like_one" {
  command = plan
  variables {
    region = "Virginia"
    zones  = ["Virginia-a", "Virginia-b"]
  }
  expect_failures = [var.region]
}
