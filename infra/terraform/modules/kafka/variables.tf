variable "hosting" {
  description = "Where the brokers are: shared (Strimzi's, among the general nodes), nodes (Strimzi's, on their own) or msk."
  type        = string

  validation {
    condition     = contains(["shared", "nodes", "msk"], var.hosting)
    error_message = "Brokers are shared, nodes or msk."
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
  description = "A broker's machine: an EC2 type for nodes, one that begins with kafka. for msk, none where it is shared."
  type        = string
  default     = null

  validation {
    condition     = (var.instance_type == null) == (var.hosting == "shared")
    error_message = "Name a type for nodes and msk, and none where brokers share the general nodes."
  }
  validation {
    condition     = var.instance_type == null || startswith(coalesce(var.instance_type, "-"), "kafka.") == (var.hosting == "msk")
    error_message = "For msk a type begins with kafka., such as kafka.m7g.large; for nodes it does not."
  }
}

variable "brokers_per_zone" {
  description = "Brokers in each zone; with three zones, one node for each replica of the node pool `broker`."
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
