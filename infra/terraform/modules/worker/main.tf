data "aws_region" "this" {}

data "aws_partition" "this" {}

data "aws_ssm_parameter" "machine_image" {
  name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
}

locals {
  models = "/var/lib/parley/models"
  own    = "/var/lib/parley/own"

  environment = merge(
    { PARLEY_TRANSCRIPTION_MODEL_ID = "whisper-large-v3-turbo" },
    var.environment,
    {
      PARLEY_DEVICE     = "cuda"
      PARLEY_HOST       = "0.0.0.0"
      PARLEY_MODELS_DIR = local.models
      PARLEY_PORT       = tostring(var.port)
    },
  )

  # Each task says its number of sessions four times a minute, so a minute's sum is four times all sessions.
  vitals_per_minute = 4
}

# -- The machines: as many as there are workers, none where there is none -----------------------------

data "aws_iam_policy_document" "machine_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "machine" {
  name               = "${var.name}-worker-machine"
  assume_role_policy = data.aws_iam_policy_document.machine_assume.json
}

resource "aws_iam_role_policy_attachment" "machine" {
  role       = aws_iam_role.machine.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "machine" {
  name = "${var.name}-worker-machine"
  role = aws_iam_role.machine.name
}

resource "aws_security_group" "machine" {
  name        = "${var.name}-worker-machine"
  description = "Machines of the workers: nobody connects to them"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "machine" {
  description       = "To AWS, encrypted"
  security_group_id = aws_security_group.machine.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_launch_template" "this" {
  #checkov:skip=CKV_AWS_341:the ECS agent's container is one hop away from the machine; tasks are kept off the metadata by ECS_AWSVPC_BLOCK_IMDS
  name                   = "${var.name}-worker"
  image_id               = data.aws_ssm_parameter.machine_image.value
  instance_type          = var.instance_type
  update_default_version = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.machine.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  network_interfaces {
    associate_public_ip_address = false
    security_groups             = [aws_security_group.machine.id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  user_data = base64encode(join("\n", [
    "#!/bin/sh",
    "cat >> /etc/ecs/ecs.config <<'CONFIG'",
    "ECS_CLUSTER=${aws_ecs_cluster.this.name}",
    "ECS_ENABLE_GPU_SUPPORT=true",
    "ECS_AWSVPC_BLOCK_IMDS=true",
    "CONFIG",
    "",
  ]))

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-worker" }
  }
}

resource "aws_autoscaling_group" "this" {
  #checkov:skip=CKV_AWS_153:names of machines are set by the launch template
  name                  = "${var.name}-worker"
  min_size              = 0
  max_size              = var.max_workers
  vpc_zone_identifier   = var.network.private_subnet_ids
  protect_from_scale_in = true

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # ECS marks the groups it scales with this tag.
  tag {
    key                 = "AmazonECSManaged"
    value               = "true"
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-worker"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_capacity_provider" "this" {
  name = "${var.name}-worker"

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.this.arn
    managed_draining               = "ENABLED"
    managed_termination_protection = "ENABLED"

    managed_scaling {
      status                 = "ENABLED"
      target_capacity        = 100
      instance_warmup_period = 120
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = [aws_ecs_capacity_provider.this.name]

  default_capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this.name
    weight            = 1
  }
}

# -- The workers -----------------------------------------------------------------------------------

resource "aws_security_group" "this" {
  name        = "${var.name}-worker"
  description = "The workers"
  vpc_id      = var.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  description                  = "From the gateway; a worker itself calls nobody"
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_security_group_id
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "Names inside the network of ${var.name}"
  vpc         = var.network.vpc_id
}

resource "aws_service_discovery_service" "this" {
  name = "worker"

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-worker"
  requires_compatibilities = ["EC2"]
  network_mode             = "awsvpc"
  execution_role_arn       = var.start_role_arn

  container_definitions = jsonencode([{
    name                   = "worker"
    image                  = var.image
    essential              = true
    command                = ["worker"]
    memory                 = var.memory
    readonlyRootFilesystem = true
    stopTimeout            = 60
    portMappings           = [{ containerPort = var.port, hostPort = var.port, protocol = "tcp" }]
    resourceRequirements   = [{ type = "GPU", value = "1" }]
    environment            = [for name, value in local.environment : { name = name, value = value }]
    secrets                = [{ name = "PARLEY_WORKER_KEY", valueFrom = var.key_secret_arn }]
    linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
    mountPoints = [
      { sourceVolume = "own", containerPath = local.own, readOnly = false },
      { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
    ]
    healthCheck = {
      command     = ["CMD", "parley-health"]
      interval    = 15
      timeout     = 5
      retries     = 4
      startPeriod = 180
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group_name
        awslogs-region        = data.aws_region.this.region
        awslogs-stream-prefix = "worker"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }])

  volume {
    name = "own"
  }

  volume {
    name = "tmp"
  }
}

resource "aws_ecs_service" "this" {
  name                               = "worker"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = 0
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  depends_on                         = [aws_ecs_cluster_capacity_providers.this]

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this.name
    weight            = 1
  }

  network_configuration {
    subnets         = var.network.private_subnet_ids
    security_groups = [aws_security_group.this.id]
  }

  service_registries {
    registry_arn = aws_service_discovery_service.this.arn
  }

  lifecycle {
    ignore_changes = [desired_count]
  }
}

# -- How many of them: by all sessions of the gateway, and none where nobody talks -------------------

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = 0
  max_capacity       = var.max_workers
}

resource "aws_appautoscaling_policy" "come" {
  name               = "${var.name}-workers-come"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Average"
    cooldown                = 120

    # Bounds are counted from the alarm's threshold, one session.
    dynamic "step_adjustment" {
      for_each = range(var.max_workers)

      content {
        scaling_adjustment          = step_adjustment.value + 1
        metric_interval_lower_bound = step_adjustment.value * var.sessions_per_worker
        metric_interval_upper_bound = step_adjustment.value + 1 == var.max_workers ? null : (step_adjustment.value + 1) * var.sessions_per_worker
      }
    }
  }
}

resource "aws_appautoscaling_policy" "go" {
  name               = "${var.name}-workers-go"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 120

    step_adjustment {
      scaling_adjustment          = 0
      metric_interval_upper_bound = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "talking" {
  alarm_name          = "${var.name}-workers-come"
  alarm_description   = "Somebody talks: workers are wanted."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.come.arn]

  metric_query {
    id          = "sessions"
    expression  = "said / ${local.vitals_per_minute}"
    label       = "Sessions"
    return_data = true
  }

  metric_query {
    id = "said"

    metric {
      namespace   = var.metric_namespace
      metric_name = "Sessions"
      stat        = "Sum"
      period      = 60
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "silent" {
  alarm_name          = "${var.name}-workers-go"
  alarm_description   = "Nobody has talked for a while: workers may go."
  namespace           = var.metric_namespace
  metric_name         = "Sessions"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = var.idle_minutes
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_appautoscaling_policy.go.arn]
}
