# What is deleted, and when: nothing personal is kept for ever, and what was deleted by mistake comes back for a week.

locals {
  # Days until an object goes by itself; null: when Milvus, or whoever put it there, deletes it.
  expires_days = {
    claims  = var.claims_days
    milvus  = null
    backups = var.backups_days
    models  = null
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    id     = "leftovers"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.deleted_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  dynamic "rule" {
    for_each = local.expires_days[each.key] == null ? [] : [local.expires_days[each.key]]
    content {
      id     = "expiry"
      status = "Enabled"
      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
