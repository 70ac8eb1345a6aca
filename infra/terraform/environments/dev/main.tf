# Small and cheap: one task, one NAT gateway, no protection against deletion; recordings in S3, for a month.

module "observability" {
  source = "../../modules/observability"

  name           = "parley-dev"
  retention_days = 14
  email          = var.alarm_email
  gateway        = module.gateway.watched
  database       = module.data.identifier
  force_destroy  = true
}

module "network" {
  source = "../../modules/network"

  name               = "parley-dev"
  cidr               = "10.20.0.0/16"
  nat                = "single"
  flow_log_group_arn = module.observability.log_groups["flow"].arn
}

module "archive" {
  source = "../../modules/archive_s3"

  name                  = "parley-dev"
  infrequent_after_days = 30
  delete_after_days     = 31
  access_log_bucket     = module.observability.access_log_bucket
  force_destroy         = true
}

module "identity" {
  source = "../../modules/identity"

  name            = "parley-dev"
  repository_arns = var.repository_arns
  tasks = {
    gateway = {
      log_group_arn = module.observability.log_groups["gateway"].arn
      secret_arns   = concat(values(var.secrets), values(module.data.secrets))
    }
    worker = {
      log_group_arn = module.observability.log_groups["worker"].arn
      secret_arns   = [for name, arn in var.secrets : arn if name == "PARLEY_WORKER_KEY"]
    }
  }
  archive = module.archive.archive
}

module "gateway" {
  source = "../../modules/gateway"

  name                = "parley-dev"
  network             = module.network
  domain              = var.domain
  zone_id             = var.zone_id
  access_log_bucket   = module.observability.access_log_bucket
  deletion_protection = false
  image               = var.image
  cpu_architecture    = var.cpu_architecture
  cpu                 = 2048
  memory              = 4096
  max_sessions        = 16
  tasks               = { min = 1, max = 3 }
  talk_on_seconds     = 60
  operator_cidrs      = var.operator_cidrs
  web_acl_arn         = var.web_acl_arn
  allowed_origins     = var.allowed_origins
  routes              = <<-TOML
    [local]
    engine = "local"

    [aws]
    engine = "aws"
    region = "${var.region}"
    at_once = ${floor(var.transcribe_streams / 3)}
    %{~for url in module.worker[*].url}

    [worker]
    engine = "openai"
    place = "on_prem"
    base_url = "${url}"
    model = "whisper-large-v3-turbo"
    usd_per_minute = 0
    %{~endfor}
  TOML
  egress = merge(
    { database = { port = 5432 } },
    { for port in module.worker[*].port : "workers" => { port = port } },
    var.egress,
  )
  environment    = merge(var.settings, module.archive.environment, module.data.environment)
  secrets        = merge(var.secrets, module.data.secrets)
  task_role_arn  = module.identity.gateway_role_arn
  start_role_arn = module.identity.start_role_arns["gateway"]
  log_group_name = module.observability.log_groups["gateway"].name
}

module "data" {
  source = "../../modules/data"

  name                     = "parley-dev"
  network                  = module.network
  client_security_group_id = module.gateway.security_group_id
  instance_class           = "db.t4g.micro"
  backup_days              = 1
  deletion_protection      = false
}

module "worker" {
  source = "../../modules/worker"
  count  = var.worker_image == null ? 0 : 1

  name                     = "parley-dev"
  network                  = module.network
  client_security_group_id = module.gateway.security_group_id
  image                    = var.worker_image
  instance_type            = "g4dn.xlarge"
  max_workers              = 1
  metric_namespace         = module.gateway.metric_namespace
  key_secret_arn           = lookup(var.secrets, "PARLEY_WORKER_KEY", "")
  start_role_arn           = module.identity.start_role_arns["worker"]
  log_group_name           = module.observability.log_groups["worker"].name
}
