output "bootstrap" {
  description = "Where clients begin: Strimzi's service, or MSK's brokers by SCRAM."
  value       = local.msk ? aws_msk_cluster.this[0].bootstrap_brokers_sasl_scram : "headwater-kafka-bootstrap:9093"
}

output "nodes" {
  description = "How many nodes are kept for Strimzi's brokers alone."
  value       = sum(concat([0], [for group in module.nodes : group.group.scaling_config[0].min_size]))
}
