locals {
  # Reading needs the key to decrypt, writing to make a new data key and, for the parts of a large object, to decrypt them.
  reads  = { Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.object_key_arn] }
  writes = { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = [var.object_key_arn] }

  # Who may not list a bucket is told "forbidden" of an object that is missing, and takes it for an outage.
  tells_missing = { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.bucket_arns.claims] }

  # A star after a bucket's slash stands for its objects: their names are hashes and counters, known to no policy.
  roles = {
    # Reads documents too large for an event, by their claims.
    chunk = {
      account = "headwater:chunk"
      may = [
        { Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.bucket_arns.claims}/*"] },
        local.tells_missing,
        local.reads,
      ]
    }

    # Writes them, wherever documents are published from inside the cluster.
    client = {
      account = "headwater:client"
      may = [
        { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], Resource = ["${var.bucket_arns.claims}/*"] },
        local.writes,
      ]
    }

    # Keeps segments, indexes and its log, and deletes what it has compacted.
    milvus = {
      account = "headwater:milvus"
      may = [
        { Effect = "Allow", Action = ["s3:ListBucket", "s3:GetBucketLocation"], Resource = [var.bucket_arns.milvus] },
        {
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
          Resource = ["${var.bucket_arns.milvus}/*"]
        },
        local.writes,
      ]
    }

    # Model servers copy a model at their start.
    models = {
      account = "headwater:model-server"
      may = [
        { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.bucket_arns.models] },
        { Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.bucket_arns.models}/*"] },
        local.reads,
      ]
    }

    # Adds to the backup each night: claimed content and files of records. What lies there it can neither read nor delete.
    backup = {
      account = "headwater:backup"
      may = [
        { Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.bucket_arns.claims}/*"] },
        local.tells_missing,
        { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.bucket_arns.backups] },
        { Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = ["${var.bucket_arns.backups}/documents/*"] },
        local.writes,
      ]
    }

    # Takes deleted documents out of it; the versions before come back for `deleted_days`.
    forget = {
      account = "headwater:forget"
      may = [
        { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.bucket_arns.backups] },
        {
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
          Resource = ["${var.bucket_arns.backups}/documents/*"]
        },
        local.writes,
      ]
    }

    # Brings it back, claimed content first.
    restore = {
      account = "headwater:restore"
      may = [
        { Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.bucket_arns.backups] },
        { Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.bucket_arns.backups}/documents/*"] },
        { Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = ["${var.bucket_arns.claims}/*"] },
        local.writes,
      ]
    }

    # For Milvus' own tool, milvus-backup: copies segments beside the saved documents, and back.
    milvus_backup = {
      account = "headwater:milvus-backup"
      may = [
        { Effect = "Allow", Action = ["s3:ListBucket", "s3:GetBucketLocation"], Resource = [var.bucket_arns.milvus, var.bucket_arns.backups] },
        {
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
          Resource = ["${var.bucket_arns.milvus}/*", "${var.bucket_arns.backups}/milvus/*"]
        },
        local.writes,
      ]
    }

    # Hands secrets of this environment to the cluster.
    secrets = {
      account = "external-secrets:external-secrets"
      may = [{
        Effect = "Allow"
        Action = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        # The prefix is this environment's; behind it stand the secret's name and the six letters that AWS adds.
        Resource = ["arn:aws:secretsmanager:${var.region}:${var.account_id}:secret:${var.secrets_prefix}/*"]
      }]
    }

    # Gives nodes to pods that wait, and takes those that nobody uses.
    autoscaler = {
      account = "kube-system:cluster-autoscaler"
      may = [
        {
          Effect = "Allow"
          Action = [
            "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLaunchConfigurations",
            "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags", "ec2:DescribeImages", "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions", "ec2:GetInstanceTypesFromInstanceRequirements",
          ]
          # These list, and AWS lets no policy narrow them to single resources.
          Resource = ["*"]
        },
        {
          Effect = "Allow"
          Action = ["eks:DescribeNodegroup"]
          # The cluster's node groups, whose names end in an id of AWS' making. Labels and taints of an empty group come from here.
          Resource = ["arn:aws:eks:${var.region}:${var.account_id}:nodegroup/${var.cluster_name}/*/*"]
        },
        {
          Effect = "Allow"
          Action = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
          # EKS names the groups itself; the condition keeps it to those of this cluster.
          Resource  = ["arn:aws:autoscaling:${var.region}:${var.account_id}:autoScalingGroup:*:autoScalingGroupName/eks-*"]
          Condition = { StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.cluster_name}" = "owned" } }
        },
      ]
    }

    # The cluster's Prometheus copies its series to where they outlive it.
    metrics = {
      account = "monitoring:prometheus"
      may     = [{ Effect = "Allow", Action = ["aps:RemoteWrite"], Resource = [var.prometheus_arn] }]
    }

    # An agent on each node ships pods' logs.
    logs = {
      account = "monitoring:fluent-bit"
      may = [{
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        # The star stands for this group's streams, one per pod.
        Resource = ["${var.log_group_arn}:*"]
      }]
    }
  }
}
