variable "name" {
  description = "The cluster's name, such as headwater-prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "A name has 3 to 41 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "kubernetes_version" {
  description = "The Kubernetes version, such as 1.32: the one whose schemas infra/k8s is checked against."
  type        = string

  validation {
    condition     = can(regex("^1\\.(3[2-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "A version looks like 1.32, the oldest that infra/k8s is written for."
  }
}

variable "account_id" {
  description = "The AWS account, twelve digits."
  type        = string
}

variable "subnets" {
  description = "The private subnet of each zone, by zone."
  type        = map(string)

  validation {
    condition     = length(var.subnets) >= 2
    error_message = "EKS needs subnets in two zones at least."
  }
}

variable "api_networks" {
  description = "Networks that may reach the Kubernetes API from outside; none: only the VPC does."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_networks : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "Name networks of a /16 at most: the API is not for everyone."
  }
}

variable "admins" {
  description = "IAM roles that administer the cluster, by a name of your choice; whoever creates it gets nothing by that."
  type        = map(string)

  validation {
    condition     = length(var.admins) > 0 && alltrue([for arn in values(var.admins) : can(regex("^arn:aws:iam::[0-9]{12}:role/", arn))])
    error_message = "Name at least one role by its ARN: without it nobody could use the cluster; users and accounts are too wide."
  }
}

variable "general" {
  description = "Nodes without a GPU: their types, counts per zone, and disks in GiB."
  type = object({
    instance_types = list(string)
    nodes_per_zone = object({ min = number, initial = number, max = number })
    disk_gib       = optional(number, 100)
  })
}

variable "log_retention_days" {
  description = "How long the control plane's logs are kept, in days."
  type        = number
}

variable "log_key_arn" {
  description = "The KMS key that encrypts the logs."
  type        = string
}
