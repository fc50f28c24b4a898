# What is deleted, and when: nothing personal is kept for ever, and what was deleted by mistake comes back for a week.

locals {
  # Days until an object goes by itself, and what its name begins with; null: when Milvus, or whoever put it there, deletes it.
  # A save of the documents (`documents/` in backups) adds to those before, all of which a restore needs: no rule may expire
  # one. Copies of Milvus are whole, and a newer one replaces an older.
  expires = {
    claims  = { days = var.claims_days, prefix = "" }
    milvus  = null
    backups = { days = var.backups_days, prefix = "milvus/" }
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
    # What a delete leaves when the last version has gone; a bucket full of these is slow to list.
    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = local.expires[each.key] == null ? [] : [local.expires[each.key]]
    content {
      id     = "expiry"
      status = "Enabled"
      filter {
        prefix = rule.value.prefix
      }

      expiration {
        days = rule.value.days
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
