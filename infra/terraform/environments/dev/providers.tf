provider "aws" {
  region = var.region

  default_tags {
    tags = { Service = "parley", Environment = "dev" }
  }
}
