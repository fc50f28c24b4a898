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
}
