# A whole environment: the one place where the modules meet. An env gives it numbers and nothing else.

data "aws_caller_identity" "this" {}

locals {
  account_id = data.aws_caller_identity.this.account_id
}

module "observability" {
  source             = "../observability"
  name               = var.name
  region             = var.region
  account_id         = local.account_id
  log_retention_days = var.log_retention_days
}

module "network" {
  source             = "../network"
  name               = var.name
  region             = var.region
  zones              = var.zones
  cidr               = var.cidr
  nat_per_zone       = var.nat_per_zone
  log_retention_days = var.log_retention_days
  log_key_arn        = module.observability.log_key_arn
}

module "cluster" {
  source             = "../cluster"
  name               = var.name
  kubernetes_version = var.kubernetes_version
  account_id         = local.account_id
  subnets            = module.network.private_subnets
  api_networks       = var.api_networks
  admins             = var.admins
  general            = var.general
  log_retention_days = var.log_retention_days
  log_key_arn        = module.observability.log_key_arn
}

module "gpu_pool" {
  source             = "../gpu_pool"
  for_each           = var.gpu_pools
  cluster_name       = module.cluster.name
  kubernetes_version = module.cluster.kubernetes_version
  node_role_arn      = module.cluster.node_role_arn
  subnet_ids         = values(module.network.private_subnets)
  name               = each.key
  pool               = each.value.pool
  instance_types     = each.value.instance_types
  capacity           = each.value.capacity
  nodes              = each.value.nodes
  sharing            = each.value.sharing
}

module "kafka" {
  source                   = "../kafka"
  hosting                  = var.kafka.hosting
  instance_type            = var.kafka.instance_type
  brokers_per_zone         = var.kafka.brokers_per_zone
  scram_secret_arns        = var.kafka.scram_secret_arns
  cluster_name             = module.cluster.name
  kubernetes_version       = module.cluster.kubernetes_version
  account_id               = local.account_id
  node_role_arn            = module.cluster.node_role_arn
  vpc_id                   = module.network.vpc_id
  subnets                  = module.network.private_subnets
  client_security_group_id = module.cluster.security_group_id
  log_retention_days       = var.log_retention_days
  log_key_arn              = module.observability.log_key_arn
}

module "object_store" {
  source      = "../object_store"
  name        = var.name
  account_id  = local.account_id
  claims_days = var.claims_days
  deletable   = var.deletable
}

module "identity" {
  source         = "../identity"
  cluster_name   = module.cluster.name
  region         = var.region
  account_id     = local.account_id
  issuer         = module.cluster.issuer
  issuer_arn     = module.cluster.issuer_arn
  bucket_arns    = module.object_store.arns
  object_key_arn = module.object_store.key_arn
  prometheus_arn = module.observability.prometheus_arn
  log_group_arn  = module.observability.log_group_arn
}
