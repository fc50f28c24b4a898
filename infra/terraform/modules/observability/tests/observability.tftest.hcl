mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/headwater/headwater-test" }
  }
}

variables {
  name       = "headwater-test"
  region     = "us-east-1"
  account_id = "123456789012"
}

run "logs_end_and_are_encrypted" {
  command = apply

  assert {
    condition = alltrue([
      for group in [aws_cloudwatch_log_group.pods, aws_cloudwatch_log_group.prometheus] :
      group.retention_in_days == 30 && group.kms_key_id == aws_kms_key.logs.arn
    ])
    error_message = "No group is kept for ever or in the clear."
  }
  assert {
    condition     = aws_kms_key.logs.enable_key_rotation
    error_message = "The key is rotated every year."
  }
}

run "the_key_serves_this_environments_logs_alone" {
  command = apply

  assert {
    condition = alltrue([
      for arn in jsondecode(aws_kms_key.logs.policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] :
      strcontains(arn, "/headwater-test") && startswith(arn, "arn:aws:logs:us-east-1:123456789012:log-group:/")
    ])
    error_message = "Each group that the key may serve bears the environment's name."
  }
  assert {
    condition     = !contains(flatten([jsondecode(aws_kms_key.logs.policy).Statement[1].Action]), "kms:*")
    error_message = "The service gets what it needs and no more."
  }
}

run "logs_for_ever_are_refused" {
  command = plan
  variables {
    log_retention_days = 0
  }
  expect_failures = [var.log_retention_days]
}
