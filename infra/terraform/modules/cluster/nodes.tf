# The nodes of everything that needs no GPU and no broker's disk: workers, Milvus, operators.

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "eks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "node" {
  name = "${var.name}-node"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

# To join and to pull images, no more: pods and addons have roles of their own.
resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])
  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.value}"
}

# A group per zone: volumes stay in theirs, and an autoscaler can only ask a group, never a zone.
module "general" {
  source             = "../node_group"
  for_each           = var.subnets
  cluster_name       = aws_eks_cluster.this.name
  kubernetes_version = aws_eks_cluster.this.version
  name               = "general-${each.key}"
  node_role_arn      = aws_iam_role.node.arn
  subnet_ids         = [each.value]
  instance_types     = var.general.instance_types
  nodes              = var.general.nodes_per_zone
  disk_gib           = var.general.disk_gib
  labels             = { "headwater.dev/pool" = "general" }
  depends_on         = [aws_eks_addon.network, aws_eks_addon.proxy, aws_iam_role_policy_attachment.node]
}
