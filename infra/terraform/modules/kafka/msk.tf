# Kafka by AWS: TLS alone, SCRAM alone, three zones, acknowledged by two brokers as infra/k8s/base/kafka asks for.

resource "aws_kms_key" "msk" {
  count               = local.msk ? 1 : 0
  description         = "${var.cluster_name}: records and SCRAM secrets of MSK"
  enable_key_rotation = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheAccountGrantsByIam"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      # Without it no one could ever change the key again; it opens nothing by itself: IAM must allow each use, too.
      Action   = "kms:*"
      Resource = "*"
    }]
  })
}

resource "aws_cloudwatch_log_group" "msk" {
  count             = local.msk ? 1 : 0
  name              = "/aws/msk/${var.cluster_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_key_arn
}

resource "aws_security_group" "msk" {
  count       = local.msk ? 1 : 0
  name        = "${var.cluster_name}-msk"
  description = "Nodes of the cluster reach the brokers; nobody else does"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "msk" {
  count                        = local.msk ? 1 : 0
  security_group_id            = aws_security_group.msk[0].id
  referenced_security_group_id = var.client_security_group_id
  description                  = "SCRAM over TLS"
  ip_protocol                  = "tcp"
  from_port                    = 9096
  to_port                      = 9096
}

resource "aws_msk_configuration" "this" {
  count          = local.msk ? 1 : 0
  name           = var.cluster_name
  kafka_versions = [var.msk_version]
  # Topics come from streams/topics.py (`headwater topics apply`) with their own sizes and retention.
  server_properties = join("\n", [
    "auto.create.topics.enable=false",
    "default.replication.factor=3",
    "min.insync.replicas=2",
    "unclean.leader.election.enable=false",
    "allow.everyone.if.no.acl.found=false",
    # A year, as infra/k8s/base/kafka has it and says why.
    "offsets.retention.minutes=525600",
  ])
}

resource "aws_msk_cluster" "this" {
  count                  = local.msk ? 1 : 0
  cluster_name           = var.cluster_name
  kafka_version          = var.msk_version
  number_of_broker_nodes = length(var.subnets) * var.brokers_per_zone

  broker_node_group_info {
    instance_type   = var.instance_type
    client_subnets  = values(var.subnets)
    security_groups = [aws_security_group.msk[0].id]

    storage_info {
      ebs_storage_info {
        volume_size = var.volume_gib
      }
    }
  }

  client_authentication {
    sasl {
      scram = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.msk[0].arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this[0].arn
    revision = aws_msk_configuration.this[0].latest_revision
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }
      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.msk[0].name
      }
    }
  }
}

# Secrets named AmazonMSK_..., encrypted by the key above, one per user of base/kafka/users.yaml. Their passwords are put in
# by hand or by rotation: what Terraform writes, its state shows.
resource "aws_msk_scram_secret_association" "this" {
  count           = local.msk && length(var.scram_secret_arns) > 0 ? 1 : 0
  cluster_arn     = aws_msk_cluster.this[0].arn
  secret_arn_list = var.scram_secret_arns
}
