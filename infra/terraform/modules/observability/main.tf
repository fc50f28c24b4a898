# Where logs and metrics go: log groups that end and are encrypted, and a managed Prometheus that the cluster's own writes
# to, so that its history outlives the cluster. (KEDA asks the cluster's own: it must answer when this is out of reach.)

locals {
  logs = "arn:aws:logs:${var.region}:${var.account_id}:log-group"
  key_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountGrantsByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
        # Without it no one could ever change the key again; it opens nothing by itself: IAM must allow each use, too.
        Action   = "kms:*"
        Resource = "*"
      },
      {
        Sid       = "LogsEncryptOurGroups"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        # In a key's policy the star is the key itself.
        Resource = "*"
        # The groups that bear this environment's name, of EKS, of the network and of the pods; each ends in a word of its own.
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = ["${local.logs}:/aws/eks/${var.name}/*", "${local.logs}:/aws/vpc/${var.name}", "${local.logs}:/aws/msk/${var.name}", "${local.logs}:/headwater/${var.name}", "${local.logs}:/aws/prometheus/${var.name}"]
          }
        }
      },
    ]
  }
}

resource "aws_kms_key" "logs" {
  description         = "${var.name}: logs and metrics"
  enable_key_rotation = true
  policy              = jsonencode(local.key_policy)
}

resource "aws_kms_alias" "logs" {
  name          = "alias/${var.name}-logs"
  target_key_id = aws_kms_key.logs.key_id
}

resource "aws_cloudwatch_log_group" "pods" {
  name              = "/headwater/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_cloudwatch_log_group" "prometheus" {
  name              = "/aws/prometheus/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_prometheus_workspace" "this" {
  alias = var.name

  logging_configuration {
    # The star stands for this group's streams, which the service names itself.
    log_group_arn = "${aws_cloudwatch_log_group.prometheus.arn}:*"
  }
}
