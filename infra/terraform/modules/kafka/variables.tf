variable "hosting" {
  description = "Who runs the brokers: strimzi, on nodes of this cluster, or msk."
  type        = string
  default     = "strimzi"

  validation {
    condition     = contains(["strimzi", "msk"], var.hosting)
    error_message = "Brokers are run by strimzi or msk."
  }
}

variable "cluster_name" {
  description = "The EKS cluster, whose name MSK bears, too."
  type        = string
}

variable "kubernetes_version" {
  description = "The nodes' Kubernetes version: the cluster's."
  type        = string
}

variable "account_id" {
  description = "The AWS account, twelve digits."
  type        = string
}

variable "node_role_arn" {
  description = "The role that nodes join with."
  type        = string
}

variable "vpc_id" {
  description = "The VPC, for MSK's security group."
  type        = string
}

variable "subnets" {
  description = "The private subnet of each zone, by zone; three, so that a zone lost leaves two of three replicas."
  type        = map(string)

  validation {
    condition     = length(var.subnets) == 3
    error_message = "Three zones: replication is three, and two must acknowledge."
  }
}

variable "client_security_group_id" {
  description = "The group of the nodes that MSK lets in."
  type        = string
}

variable "instance_type" {
  description = "A broker's machine: an EC2 type for strimzi, the same with kafka. in front for msk."
  type        = string

  validation {
    condition     = startswith(var.instance_type, "kafka.") == (var.hosting == "msk")
    error_message = "For msk a type begins with kafka., such as kafka.m7g.large; for strimzi it does not."
  }
}

variable "brokers_per_zone" {
  description = "Brokers in each zone; with three zones, as many nodes as replicas of the node pool `brokers`."
  type        = number
  default     = 1

  validation {
    condition     = var.brokers_per_zone >= 1 && var.brokers_per_zone <= 10 && floor(var.brokers_per_zone) == var.brokers_per_zone
    error_message = "One to ten brokers per zone."
  }
}

variable "volume_gib" {
  description = "A broker's volume with MSK, in GiB; with Strimzi the node pool's resource says it."
  type        = number
  default     = 500
}

variable "msk_version" {
  description = "MSK's version of Kafka, KRaft."
  type        = string
  default     = "4.1.x.kraft"

  validation {
    condition     = endswith(var.msk_version, ".kraft")
    error_message = "Only KRaft versions: Kafka 4 has no ZooKeeper."
  }
}

variable "scram_secret_arns" {
  description = "Secrets of MSK's users, one per user of infra/k8s/base/kafka/users.yaml."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long brokers' logs are kept with MSK, in days."
  type        = number
}

variable "log_key_arn" {
  description = "The KMS key that encrypts the logs."
  type        = string
}
