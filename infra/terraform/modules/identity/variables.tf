variable "cluster_name" {
  description = "The cluster, whose name the roles begin with."
  type        = string
}

variable "region" {
  description = "The region of the cluster and its secrets."
  type        = string
}

variable "account_id" {
  description = "The AWS account, twelve digits."
  type        = string
}

variable "issuer" {
  description = "The cluster's OpenID Connect issuer, without its scheme."
  type        = string

  validation {
    condition     = !strcontains(var.issuer, "://")
    error_message = "Trust policies name the issuer without https://."
  }
}

variable "issuer_arn" {
  description = "The identity provider that stands for the issuer."
  type        = string
}

variable "bucket_arns" {
  description = "The buckets' ARNs, by purpose."
  type        = object({ claims = string, milvus = string, backups = string, models = string })
}

variable "object_key_arn" {
  description = "The KMS key of the buckets."
  type        = string
}

variable "secrets_prefix" {
  description = "What the names of this environment's secrets begin with, such as headwater."
  type        = string
  default     = "headwater"

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$", var.secrets_prefix))
    error_message = "A prefix has letters, digits, dashes and slashes, and no star."
  }
}

variable "prometheus_arn" {
  description = "The managed Prometheus workspace."
  type        = string
}

variable "log_group_arn" {
  description = "The log group of the pods."
  type        = string
}
