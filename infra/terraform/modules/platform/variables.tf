variable "name" {
  description = "The environment, which is the cluster's name too, such as headwater-prod."
  type        = string
}

variable "region" {
  description = "The region, such as us-east-1."
  type        = string
}

variable "zones" {
  description = "Three zones of the region."
  type        = list(string)
}

variable "cidr" {
  description = "The VPC's range, such as 10.40.0.0/16."
  type        = string
}

variable "nat_per_zone" {
  description = "Whether each zone has a way out of its own."
  type        = bool
}

variable "kubernetes_version" {
  description = "The Kubernetes version that infra/k8s is checked against."
  type        = string
  default     = "1.32"
}

variable "api_networks" {
  description = "Networks that may reach the Kubernetes API from outside the VPC."
  type        = list(string)
  default     = []
}

variable "admins" {
  description = "IAM roles that administer the cluster, by a name of your choice."
  type        = map(string)
}

variable "general" {
  description = "Nodes without a GPU: their types, and counts per zone."
  type = object({
    instance_types = list(string)
    nodes_per_zone = object({ min = number, initial = number, max = number })
  })
}

variable "kafka" {
  description = "Where the brokers are (shared, nodes or msk), on what, how many per zone, and with MSK the users' secrets."
  type = object({
    hosting           = optional(string, "shared")
    instance_type     = optional(string)
    brokers_per_zone  = optional(number, 1)
    scram_secret_arns = optional(list(string), [])
  })
  default = {}
}

variable "gpu_pools" {
  description = "Groups of GPU nodes by name: each pool has one at least, or its pods wait for ever."
  type = map(object({
    pool           = string
    instance_types = list(string)
    capacity       = optional(string, "on-demand")
    nodes          = object({ min = optional(number, 0), initial = optional(number, 0), max = number })
    sharing        = optional(object({ mode = optional(string, "none"), pods = optional(number, 1) }), {})
  }))

  validation {
    condition     = toset([for group in values(var.gpu_pools) : group.pool]) == toset(["embed", "rerank", "generate"])
    error_message = "Name a group for each of embed, rerank and generate."
  }
}

variable "claims_days" {
  description = "How long documents too large for an event are kept, in days."
  type        = number
  default     = 30
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
}

variable "deletable" {
  description = "Whether destroying the environment deletes its buckets with all objects."
  type        = bool
  default     = false
}
