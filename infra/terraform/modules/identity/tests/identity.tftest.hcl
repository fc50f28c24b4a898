mock_provider "aws" {}

variables {
  cluster_name = "headwater-test"
  region       = "us-east-1"
  account_id   = "123456789012"
  issuer       = "oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF"
  issuer_arn   = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF"
  bucket_arns = {
    claims  = "arn:aws:s3:::claims"
    milvus  = "arn:aws:s3:::milvus"
    backups = "arn:aws:s3:::backups"
    models  = "arn:aws:s3:::models"
  }
  object_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  prometheus_arn = "arn:aws:aps:us-east-1:123456789012:workspace/ws-11111111-2222-3333-4444-555555555555"
  log_group_arn  = "arn:aws:logs:us-east-1:123456789012:log-group:/headwater/headwater-test"
}

run "a_role_belongs_to_one_service_account" {
  command = plan

  assert {
    condition = alltrue([
      for name, role in aws_iam_role.this :
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["${var.issuer}:sub"] == "system:serviceaccount:${output.accounts[name]}" &&
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["${var.issuer}:aud"] == "sts.amazonaws.com"
    ])
    error_message = "Exactly one service account, by equality and not by likeness."
  }
  assert {
    condition     = length(distinct(values(output.accounts))) == length(output.accounts)
    error_message = "No account has two roles: its annotation names one."
  }
}

run "no_action_is_a_wildcard" {
  command = plan

  assert {
    condition = !anytrue(flatten([
      for policy in aws_iam_role_policy.this : [
        for statement in jsondecode(policy.policy).Statement : [for action in flatten([statement.Action]) : strcontains(action, "*")]
      ]
    ]))
    error_message = "Every action is named."
  }
}

run "only_lists_of_the_autoscaler_reach_everything" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for name, policy in aws_iam_role_policy.this : [
        for statement in jsondecode(policy.policy).Statement :
        name == "autoscaler" && alltrue([for action in statement.Action : can(regex("^[a-z0-9]+:(Describe|Get)", action))])
        if contains(flatten([statement.Resource]), "*")
      ]
    ]))
    error_message = "A policy for everything may list, and nothing else."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.this["autoscaler"].policy).Statement :
      statement.Condition.StringEquals["aws:ResourceTag/k8s.io/cluster-autoscaler/headwater-test"] == "owned"
      if contains(statement.Action, "autoscaling:SetDesiredCapacity")
    ])
    error_message = "It moves groups of this cluster alone."
  }
}

run "workers_read_claims_and_only_milvus_and_forgetting_delete" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role_policy.this["chunk"].policy).Statement[0] == { Effect = "Allow", Action = ["s3:GetObject"], Resource = ["arn:aws:s3:::claims/*"] }
    error_message = "The chunk stage reads and does not write."
  }
  assert {
    condition     = toset([for name, policy in aws_iam_role_policy.this : name if strcontains(policy.policy, "s3:DeleteObject")]) == toset(["forget", "milvus"])
    error_message = "Nobody else may delete objects."
  }
}

run "whoever_reads_claims_can_tell_a_missing_one_from_an_outage" {
  command = plan

  assert {
    condition = alltrue([
      for name in ["chunk", "backup"] : anytrue([
        for statement in jsondecode(aws_iam_role_policy.this[name].policy).Statement :
        statement.Action == ["s3:ListBucket"] && statement.Resource == ["arn:aws:s3:::claims"]
      ])
    ])
    error_message = "S3 says 403, and not 404, to whoever may not list."
  }
}

run "saving_only_adds_and_restoring_only_reads" {
  command = plan

  assert {
    condition = {
      for name in ["backup", "restore"] : name => toset(flatten([
        for statement in jsondecode(aws_iam_role_policy.this[name].policy).Statement : statement.Action
        if anytrue([for resource in statement.Resource : startswith(resource, "arn:aws:s3:::backups")])
      ]))
      } == {
      backup  = toset(["s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"])
      restore = toset(["s3:ListBucket", "s3:GetObject"])
    }
    error_message = "Who saves every night can take nothing away, and who restores changes nothing there."
  }
}

run "the_issuer_and_the_prefix_are_checked" {
  command = plan
  variables {
    issuer         = "https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF"
    secrets_prefix = "*"
  }
  expect_failures = [var.issuer, var.secrets_prefix]
}
