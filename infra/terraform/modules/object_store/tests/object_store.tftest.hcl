mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
}

variables {
  name       = "headwater-test"
  account_id = "123456789012"
}

run "every_bucket_is_private_encrypted_and_versioned" {
  command = apply

  assert {
    condition     = toset(keys(aws_s3_bucket.this)) == toset(["claims", "milvus", "backups", "models"])
    error_message = "One bucket per purpose."
  }
  assert {
    condition = alltrue([
      for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && length(aws_s3_bucket_public_access_block.this) == 4
    error_message = "Nothing is ever public."
  }
  assert {
    condition = alltrue([
      for config in aws_s3_bucket_server_side_encryption_configuration.this :
      one(one(config.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" &&
      one(one(config.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.this.arn
    ]) && length(aws_s3_bucket_server_side_encryption_configuration.this) == 4
    error_message = "Every object is encrypted by our key."
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key is rotated every year."
  }
  assert {
    condition     = alltrue([for versioning in aws_s3_bucket_versioning.this : one(versioning.versioning_configuration).status == "Enabled"])
    error_message = "What was deleted by mistake comes back."
  }
  assert {
    condition = alltrue([
      for policy in aws_s3_bucket_policy.this :
      jsondecode(policy.policy).Statement[0].Effect == "Deny" && jsondecode(policy.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "Without TLS nothing is answered."
  }
  assert {
    condition     = !anytrue([for bucket in aws_s3_bucket.this : bucket.force_destroy])
    error_message = "Full buckets survive a destroy unless asked for otherwise."
  }
}

run "claims_and_copies_of_milvus_expire_and_saved_documents_do_not" {
  command = apply

  assert {
    condition = {
      for purpose, config in aws_s3_bucket_lifecycle_configuration.this :
      purpose => [for rule in config.rule : "${one(rule.filter).prefix}* ${one(rule.expiration).days}" if rule.id == "expiry"]
    } == { claims = ["* 30"], backups = ["milvus/* 35"], milvus = [], models = [] }
    error_message = "Expiry by purpose: a restore needs every save of the documents, however old."
  }
  assert {
    condition = alltrue([
      for config in aws_s3_bucket_lifecycle_configuration.this :
      one([for rule in config.rule : one(rule.noncurrent_version_expiration).noncurrent_days if rule.id == "leftovers"]) == 7
    ])
    error_message = "What was deleted is gone after a week."
  }
  assert {
    condition = alltrue([
      for config in aws_s3_bucket_lifecycle_configuration.this :
      one([for rule in config.rule : one(rule.expiration).expired_object_delete_marker if rule.id == "leftovers"])
    ])
    error_message = "Nor does the mark of it stay."
  }
}

run "claims_shorter_than_their_topic_are_refused" {
  command = plan
  variables {
    claims_days = 7
  }
  expect_failures = [var.claims_days]
}

run "names_accounts_and_days_are_checked" {
  command = plan
  variables {
    name         = "Headwater"
    account_id   = "12"
    backups_days = 1
    deleted_days = 90
  }
  expect_failures = [var.name, var.account_id, var.backups_days, var.deleted_days]
}
