# Production: a zone may be lost. Three zones with a way out each; model servers on demand, for spot takes them away at two
# minutes' notice while a model takes five to load.

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
    tags = { project = "headwater", env = "prod" }
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
  description = "Networks that may reach the Kubernetes API from outside the VPC; none: a VPN or a machine of the VPC's must be there."
  type        = list(string)
  default     = []
}

module "platform" {
  source             = "../../modules/platform"
  name               = "headwater-prod"
  region             = local.region
  zones              = ["us-east-1a", "us-east-1b", "us-east-1c"]
  cidr               = "10.40.0.0/16"
  nat_per_zone       = true
  api_networks       = var.api_networks
  admins             = var.admins
  log_retention_days = 90

  # A node of 8 CPUs and 32 GiB leaves pods 7.9 and 29. At rest the prod overlay asks for 30 CPUs and 148 GiB (Milvus 24.5
  # and 134, six workers 1.5 and 3, the rest for controllers, operators, collectors): six nodes. With every worker at its
  # most it asks for 46 and 178: seven; a zone lost leaves two thirds of twelve, which are eight.
  general = {
    instance_types = ["m7i.2xlarge", "m6i.2xlarge"]
    nodes_per_zone = { min = 1, initial = 2, max = 4 }
  }

  # One broker of 8 GiB per zone, with infra/k8s/components/kafka-nodes.
  kafka = { hosting = "nodes", instance_type = "m7i.xlarge" }

  # At the start: what the smallest numbers of replicas need (infra/k8s/components/keda). At most: their largest, and one
  # more of each Deployment, for a rollout adds before it removes.
  gpu_pools = {
    # tei-embed 2 to 3, tei-embed-bulk 0 to 3: (3 + 1) + (3 + 1).
    embed = {
      pool           = "embed"
      instance_types = ["g6.xlarge", "g5.xlarge"]
      nodes          = { initial = 2, max = 8 }
    }
    # tei-rerank 2 to 4: 4 + 1.
    rerank = {
      pool           = "rerank"
      instance_types = ["g6.xlarge", "g5.xlarge"]
      nodes          = { initial = 2, max = 5 }
    }
    # vllm 2 to 4: 4 + 1. One H100 each; a p4d would leave six of its eight A100 idle at two replicas.
    generate = {
      pool           = "generate"
      instance_types = ["p5.4xlarge"]
      nodes          = { initial = 2, max = 5 }
    }
  }
}

output "settings_env" {
  description = "For infra/k8s/overlays/prod/settings.env."
  value       = module.platform.settings_env
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.platform.cluster_name
}
