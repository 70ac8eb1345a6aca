# For people who depend on it: three zones, a NAT gateway in each, a database with a standby; recordings in Azure.

module "observability" {
  source = "../../modules/observability"

  name           = "parley-prod"
  retention_days = 90
  email          = var.alarm_email
  gateway        = module.gateway.watched
  database       = module.data.identifier
}

module "network" {
  source = "../../modules/network"

  name                = "parley-prod"
  cidr                = "10.30.0.0/16"
  zones               = ["a", "b", "c"]
  nat                 = "per_zone"
  interface_endpoints = ["transcribestreaming", "polly"]
  flow_log_group_arn  = module.observability.log_groups["flow"].arn
}

module "archive" {
  source = "../../modules/archive_azure"

  name             = "parley-prod"
  location         = var.azure_location
  replication      = "ZRS"
  allowed_ips      = module.network.nat_public_ips
  gateway_role_arn = module.identity.gateway_role_arn
  cool_after_days  = 30
}

module "identity" {
  source = "../../modules/identity"

  name            = "parley-prod"
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
  azure_audience = module.archive.audience
}

module "gateway" {
  source = "../../modules/gateway"

  name              = "parley-prod"
  network           = module.network
  domain            = var.domain
  zone_id           = var.zone_id
  access_log_bucket = module.observability.access_log_bucket
  image             = var.image
  cpu_architecture  = var.cpu_architecture
  cpu               = 4096
  memory            = 8192
  max_sessions      = 32
  tasks             = { min = 3, max = 60 }
  talk_on_seconds   = 600
  operator_cidrs    = var.operator_cidrs
  web_acl_arn       = var.web_acl_arn
  allowed_origins   = var.allowed_origins
  routes            = <<-TOML
    [local]
    engine = "local"

    [aws]
    engine = "aws"
    region = "${var.region}"
    at_once = ${floor(var.transcribe_streams / 60)}
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
  azure          = module.archive.azure
  task_role_arn  = module.identity.gateway_role_arn
  start_role_arn = module.identity.start_role_arns["gateway"]
  log_group_name = module.observability.log_groups["gateway"].name
}

module "data" {
  source = "../../modules/data"

  name                     = "parley-prod"
  network                  = module.network
  client_security_group_id = module.gateway.security_group_id
  instance_class           = "db.t4g.medium"
  multi_az                 = true
  storage_gib              = 50
  backup_days              = 14
}

module "worker" {
  source = "../../modules/worker"
  count  = var.worker_image == null ? 0 : 1

  name                     = "parley-prod"
  network                  = module.network
  client_security_group_id = module.gateway.security_group_id
  image                    = var.worker_image
  instance_type            = "g6.xlarge"
  max_workers              = 10
  metric_namespace         = module.gateway.metric_namespace
  key_secret_arn           = lookup(var.secrets, "PARLEY_WORKER_KEY", "")
  start_role_arn           = module.identity.start_role_arns["worker"]
  log_group_name           = module.observability.log_groups["worker"].name
}
