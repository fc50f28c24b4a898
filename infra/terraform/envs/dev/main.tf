# For trying things: one way out for all zones, few nodes, GPUs as spot and only while something asks for them; it can be
# destroyed with all that is in it.

terraform {
  required_version = ">= 1.11"

  # Bucket and key are given at init: `terraform init -backend-config=backend.hcl`.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = local.region

  default_tags {
    tags = { project = "headwater", env = "dev" }
  }
}

locals {
  region = "us-east-1"
}

variable "admins" {
  description = "IAM roles that administer the cluster, by a name of your choice; give them in terraform.tfvars."
  type        = map(string)

  validation {
    condition     = length(var.admins) > 0
    error_message = "Name at least one role: whoever creates the cluster gets nothing by that."
  }
}

variable "api_networks" {
  description = "Networks that may reach the Kubernetes API from outside the VPC, such as the office's."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_networks : try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "Name networks of a /16 at most: the API is not for everyone."
  }
}

module "platform" {
  source             = "../../modules/platform"
  name               = "headwater-dev"
  region             = local.region
  zones              = ["us-east-1a", "us-east-1b", "us-east-1c"]
  cidr               = "10.41.0.0/16"
  nat_per_zone       = false
  api_networks       = var.api_networks
  admins             = var.admins
  claims_days        = 14
  log_retention_days = 7
  deletable          = true

  # Kafka's brokers stand here, too.
  general = {
    instance_types = ["m7i.2xlarge", "m6i.2xlarge"]
    nodes_per_zone = { min = 0, initial = 1, max = 3 }
  }

  # TEI shares a GPU among four: MiniLM and a small reranker take less than a quarter of 24 GB each.
  gpu_pools = {
    embed = {
      pool           = "embed"
      capacity       = "spot"
      instance_types = ["g6.xlarge", "g5.xlarge"]
      nodes          = { max = 1 }
      sharing        = { mode = "time-slicing", pods = 4 }
    }
    rerank = {
      pool           = "rerank"
      capacity       = "spot"
      instance_types = ["g6.xlarge", "g5.xlarge"]
      nodes          = { max = 1 }
      sharing        = { mode = "time-slicing", pods = 4 }
    }
    # vLLM asks for 24 GiB of memory, which an xlarge does not have.
    generate = {
      pool           = "generate"
      capacity       = "spot"
      instance_types = ["g6.2xlarge", "g5.2xlarge"]
      nodes          = { max = 2 }
    }
  }
}

output "settings_env" {
  description = "For infra/k8s/overlays/dev-aws/settings.env."
  value       = module.platform.settings_env
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.platform.cluster_name
}
