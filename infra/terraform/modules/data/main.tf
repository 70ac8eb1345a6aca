data "aws_iam_policy_document" "monitoring_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

data "aws_partition" "this" {}

# Ephemeral: a new one at every run, written to the secret when password_version is raised, and into no state and no plan.
ephemeral "random_password" "this" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:the secret is changed together with the database's password, by raising password_version
  #checkov:skip=CKV_AWS_149:the account's own key for Secrets Manager is enough for readers in the same account
  name                    = "${var.name}/database-password"
  description             = "Password of the database"
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id                = aws_secretsmanager_secret.this.id
  secret_string_wo_version = var.password_version
  secret_string_wo         = ephemeral.random_password.this.result
}

# The database gets what the secret has, also where an earlier run wrote it and failed afterwards.
ephemeral "aws_secretsmanager_secret_version" "this" {
  secret_id  = aws_secretsmanager_secret_version.this.secret_id
  version_id = aws_secretsmanager_secret_version.this.version_id
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.network.private_subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "The database: it is asked, and asks nobody"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  description                  = "From the gateway"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_security_group_id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-database-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_assume.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_parameter_group" "this" {
  name        = var.name
  family      = "postgres17"
  description = "PostgreSQL of ${var.name}"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # Slow statements and changes of structure are logged; other statements hold what people said.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_157:a second zone doubles the price; it is a variable, on in prod
  #checkov:skip=CKV_AWS_161:the password is made by Terraform, kept in Secrets Manager alone, and never in the state
  #checkov:skip=CKV_AWS_293:protection against deletion is a variable, on by default, off in dev
  #checkov:skip=CKV_AWS_354:the samples of Performance Insights are encrypted with the account's key for RDS; they hold no rows
  identifier                            = var.name
  engine                                = "postgres"
  engine_version                        = "17"
  instance_class                        = var.instance_class
  db_name                               = "parley"
  username                              = "parley"
  password_wo                           = ephemeral.aws_secretsmanager_secret_version.this.secret_string
  password_wo_version                   = var.password_version
  port                                  = 5432
  db_subnet_group_name                  = aws_db_subnet_group.this.name
  vpc_security_group_ids                = [aws_security_group.this.id]
  parameter_group_name                  = aws_db_parameter_group.this.name
  publicly_accessible                   = false
  multi_az                              = var.multi_az
  storage_type                          = "gp3"
  storage_encrypted                     = true
  allocated_storage                     = var.storage_gib
  max_allocated_storage                 = var.storage_gib * 10
  backup_retention_period               = var.backup_days
  copy_tags_to_snapshot                 = true
  auto_minor_version_upgrade            = true
  deletion_protection                   = var.deletion_protection
  skip_final_snapshot                   = !var.deletion_protection
  final_snapshot_identifier             = var.deletion_protection ? "${var.name}-last" : null
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  performance_insights_enabled          = true
  performance_insights_retention_period = 7
}
