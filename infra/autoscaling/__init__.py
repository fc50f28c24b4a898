"""What the ScaledObjects of infra/k8s/components/keda do with a burst and with a quiet night, computed."""
