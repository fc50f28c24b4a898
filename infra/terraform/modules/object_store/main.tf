# The buckets: documents too large for an event (claims), Milvus' segments, backups, and models that servers load at their
# start. All private, encrypted by one key, reachable by TLS alone.

locals {
  buckets = {
    for purpose in ["claims", "milvus", "backups", "models"] : purpose => "${var.name}-${purpose}-${var.account_id}"
  }
  arns = { for purpose, bucket in local.buckets : purpose => "arn:aws:s3:::${bucket}" }
}

resource "aws_kms_key" "this" {
  description         = "${var.name}: objects"
  enable_key_rotation = true
  policy              = jsonencode(local.key_policy)
}

locals {
  key_policy = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheAccountGrantsByIam"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      # Without it no one could ever change the key again; it opens nothing by itself: IAM must allow each use, too.
      Action = "kms:*"
      # In a key's own policy that is this key.
      Resource = "*"
    }]
  }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-objects"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_s3_bucket" "this" {
  for_each      = local.buckets
  bucket        = each.value
  force_destroy = var.deletable
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    # One call to KMS serves many objects: Milvus writes thousands.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "TlsAlone"
      Effect = "Deny"
      # Everyone and everything, for it denies.
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.arns[each.key], "${local.arns[each.key]}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
