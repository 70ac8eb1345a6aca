data "aws_region" "this" {}

locals {
  container = "gateway"
  models    = "/var/lib/parley/models"
  own       = "/var/lib/parley/own"
  tokens    = "/run/azure"
  namespace = "Parley/${var.name}"

  environment = merge(
    var.environment,
    {
      PARLEY_ALLOWED_ORIGINS   = join(",", var.allowed_origins)
      PARLEY_AUDIO_STORAGE_DIR = "${local.own}/recordings"
      AWS_REGION               = data.aws_region.this.region
      PARLEY_HOST              = "0.0.0.0"
      PARLEY_MAX_SESSIONS      = tostring(var.max_sessions)
      PARLEY_MODELS_DIR        = local.models
      PARLEY_PORT              = tostring(var.port)
      PARLEY_SERVER_NAMES      = var.domain
    },
    var.routes == null ? {} : { PARLEY_ROUTES = "${local.own}/routes.toml" },
    var.azure == null ? {} : {
      AZURE_CLIENT_ID            = var.azure.client_id
      AZURE_FEDERATED_TOKEN_FILE = "${local.tokens}/token"
      AZURE_TENANT_ID            = var.azure.tenant_id
    },
  )

  # A receiver stands in the network where egress says nothing else.
  receives = contains(split(",", replace(lookup(var.environment, "PARLEY_REPLY_PROVIDER", ""), " ", "")), "receiver")
  receiver = { port = tonumber(lookup(var.environment, "PARLEY_RECEIVER_PORT", "5001")), cidr = null }
  egress   = merge(local.receives ? { receiver = local.receiver } : {}, var.egress)

  certificate_arn = coalesce(var.certificate_arn, one(aws_acm_certificate_validation.this[*].certificate_arn))

  # Written by tests/infra/test_public_routes.py, from the routes of the code; a rule takes five.
  public_paths = chunklist(jsondecode(file("${path.module}/public_routes.json")), 5)

  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group   = var.log_group_name
      awslogs-region  = data.aws_region.this.region
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  }

  gateway = {
    name                   = local.container
    image                  = var.image
    essential              = true
    command                = ["serve", "--vitals"]
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_timeout_seconds
    portMappings           = [{ containerPort = var.port, hostPort = var.port, protocol = "tcp" }]
    environment            = [for name, value in local.environment : { name = name, value = value }]
    secrets                = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
    dependsOn = concat(
      var.routes == null ? [] : [{ containerName = "routes", condition = "SUCCESS" }],
      var.azure == null ? [] : [{ containerName = "azure-token", condition = "HEALTHY" }],
    )
    mountPoints = concat(
      [
        { sourceVolume = "own", containerPath = local.own, readOnly = false },
        { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      ],
      var.azure == null ? [] : [{ sourceVolume = "tokens", containerPath = local.tokens, readOnly = true }],
    )
    healthCheck = {
      command     = ["CMD", "parley-health"]
      interval    = 15
      timeout     = 5
      retries     = 4
      startPeriod = 120
    }
    logConfiguration = merge(local.log, { options = merge(local.log.options, { awslogs-stream-prefix = "gateway" }) })
  }

  # Routes are a file; a task's files come with its image, so one container writes this one before the other reads it.
  routes = var.routes == null ? [] : [{
    name                   = "routes"
    image                  = var.image
    essential              = false
    readonlyRootFilesystem = true
    entryPoint             = ["/bin/sh", "-c"]
    command                = ["printf '%s' \"$FILE\" > ${local.own}/routes.toml"]
    environment            = [{ name = "FILE", value = var.routes }]
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "own", containerPath = local.own, readOnly = false }]
    logConfiguration       = merge(local.log, { options = merge(local.log.options, { awslogs-stream-prefix = "routes" }) })
  }]

  # Azure takes a token that AWS signs for the task's role. The package that talks to Azure reads it from a file,
  # again and again, so a small companion keeps the file fresh: no secret exists that could leak.
  token = var.azure == null ? [] : [{
    name                   = "azure-token"
    image                  = var.token_image
    essential              = true
    readonlyRootFilesystem = true
    user                   = "0:0" # Fargate makes the volume root's; without a capability, root owns this folder and no more
    entryPoint             = ["/bin/sh", "-c"]
    command = [join(" ", [
      "trap 'exit 0' TERM; while :; do",
      "aws sts get-web-identity-token --audience '${var.azure.audience}' --signing-algorithm RS256",
      "--duration-seconds 3600 --query WebIdentityToken --output text > ${local.tokens}/next",
      "&& mv ${local.tokens}/next ${local.tokens}/token;",
      "sleep 900 & wait $!; done",
    ])]
    environment     = [{ name = "AWS_REGION", value = data.aws_region.this.region }]
    linuxParameters = { capabilities = { add = [], drop = ["ALL"] } }
    mountPoints     = [{ sourceVolume = "tokens", containerPath = local.tokens, readOnly = false }]
    healthCheck = {
      command     = ["CMD-SHELL", "test -s ${local.tokens}/token"]
      interval    = 5
      timeout     = 2
      retries     = 10
      startPeriod = 10
    }
    logConfiguration = merge(local.log, { options = merge(local.log.options, { awslogs-stream-prefix = "azure-token" }) })
  }]
}

# -- The name and its certificate ------------------------------------------------------------------

resource "aws_acm_certificate" "this" {
  count = var.certificate_arn == null ? 1 : 0

  domain_name       = var.domain
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "proof" {
  for_each = var.certificate_arn == null ? toset([var.domain]) : toset([])

  zone_id         = var.zone_id
  name            = one([for option in aws_acm_certificate.this[0].domain_validation_options : option.resource_record_name if option.domain_name == each.key])
  type            = one([for option in aws_acm_certificate.this[0].domain_validation_options : option.resource_record_type if option.domain_name == each.key])
  records         = [one([for option in aws_acm_certificate.this[0].domain_validation_options : option.resource_record_value if option.domain_name == each.key])]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.certificate_arn == null ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [for record in aws_route53_record.proof : record.fqdn]
}

resource "aws_route53_record" "this" {
  count = var.zone_id == null ? 0 : 1

  zone_id = var.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

# -- The load balancer -----------------------------------------------------------------------------

resource "aws_security_group" "lb" {
  name        = "${var.name}-lb"
  description = "The load balancer"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  for_each = var.ingress_cidrs

  description       = "People, encrypted"
  security_group_id = aws_security_group.lb.id
  cidr_ipv4         = each.key
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  #checkov:skip=CKV_AWS_260:port 80 answers nothing but the way to port 443
  for_each = var.ingress_cidrs

  description       = "People who forgot the s, and are told"
  security_group_id = aws_security_group.lb.id
  cidr_ipv4         = each.key
  from_port         = 80
  to_port           = 80
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "operators" {
  for_each = var.operator_cidrs

  description       = "Operators, encrypted"
  security_group_id = aws_security_group.lb.id
  cidr_ipv4         = each.key
  from_port         = var.operator_port
  to_port           = var.operator_port
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "to_tasks" {
  description                  = "To the tasks"
  security_group_id            = aws_security_group.lb.id
  referenced_security_group_id = aws_security_group.this.id
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_76:which rules the firewall of web_acl_arn has is for whoever makes it; nothing here runs on Java
  #checkov:skip=CKV2_AWS_28:the firewall for web requests is a variable, web_acl_arn; the gateway bounds requests and frames itself
  #checkov:skip=CKV_AWS_150:protection against deletion is a variable, on by default, off in dev
  name                       = var.name
  load_balancer_type         = "application"
  subnets                    = var.network.public_subnet_ids
  security_groups            = [aws_security_group.lb.id]
  idle_timeout               = var.idle_timeout_seconds
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  access_logs {
    bucket  = var.access_log_bucket
    prefix  = "lb"
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:behind the load balancer traffic stays inside the network, on ports that only the load balancer may reach
  name                          = var.name
  vpc_id                        = var.network.vpc_id
  port                          = var.port
  protocol                      = "HTTP"
  target_type                   = "ip"
  deregistration_delay          = var.talk_on_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"

  # Liveness, not readiness: a full task must not be stopped for being in demand.
  health_check {
    path                = "/health/live"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 4
  }
}

# What the world may ask for is forwarded, by rules of five paths each; everything else is not here, whatever its spelling.
resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = local.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "not here"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "public" {
  count = length(local.public_paths)

  listener_arn = aws_lb_listener.https.arn
  priority     = count.index + 10

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }

  condition {
    path_pattern {
      regex_values = local.public_paths[count.index]
    }
  }
}

# The private listener: every route, for the ranges of operators alone.
resource "aws_lb_listener" "operators" {
  count = length(var.operator_cidrs) > 0 ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = var.operator_port
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = local.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count = var.web_acl_arn == null ? 0 : 1

  resource_arn = aws_lb.this.arn
  web_acl_arn  = var.web_acl_arn
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

# -- The tasks -------------------------------------------------------------------------------------

resource "aws_security_group" "this" {
  name        = "${var.name}-gateway"
  description = "The gateway's tasks"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "from_lb" {
  description                  = "From the load balancer"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = aws_security_group.lb.id
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "https" {
  description       = "To AWS, Azure and whoever replies, encrypted"
  security_group_id = aws_security_group.this.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "inside" {
  for_each = local.egress

  description       = "To the ${each.key}"
  security_group_id = aws_security_group.this.id
  cidr_ipv4         = coalesce(each.value.cidr, var.network.cidr)
  from_port         = each.value.port
  to_port           = each.value.port
  ip_protocol       = "tcp"
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-gateway"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.start_role_arn
  container_definitions    = jsonencode(concat([local.gateway], local.routes, local.token))

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  ephemeral_storage {
    size_in_gib = var.storage_gib
  }

  volume {
    name = "own"
  }

  volume {
    name = "tmp"
  }

  dynamic "volume" {
    for_each = var.azure[*]

    content {
      name = "tokens"
    }
  }
}

resource "aws_ecs_service" "this" {
  name                               = "gateway"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  desired_count                      = var.tasks.min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 120
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  depends_on                         = [aws_lb_listener_rule.public]

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.network.private_subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = local.container
    container_port   = var.port
  }

  lifecycle {
    ignore_changes = [desired_count]
  }
}

# -- How many of them ------------------------------------------------------------------------------

# Every task writes `{"event":"vitals","sessions":3,"maxSessions":32,"occupancy":9.4,"spoolAge":0.4}` to its log every 15 seconds.
resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = { Sessions = "Count", Occupancy = "Percent", SpoolAge = "Seconds" }

  name           = "${var.name}-${lower(each.key)}"
  log_group_name = var.log_group_name
  pattern        = "{ $.event = \"vitals\" }"

  metric_transformation {
    name      = each.key
    namespace = local.namespace
    value     = "$.${lower(substr(each.key, 0, 1))}${substr(each.key, 1, -1)}"
    unit      = each.value
  }
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.tasks.min
  max_capacity       = var.tasks.max
}

resource "aws_appautoscaling_policy" "sessions" {
  name               = "${var.name}-sessions"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.occupancy_target
    scale_out_cooldown = 30
    scale_in_cooldown  = 300

    customized_metric_specification {
      namespace   = local.namespace
      metric_name = aws_cloudwatch_log_metric_filter.this["Occupancy"].metric_transformation[0].name
      statistic   = "Average"
      unit        = "Percent"
    }
  }
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.cpu_target
    scale_out_cooldown = 30
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
