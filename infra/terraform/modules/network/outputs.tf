output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Its address range."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Where the load balancer stands."
  value       = [for subnet in aws_subnet.public : subnet.id]
}

output "private_subnet_ids" {
  description = "Where everything else stands."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "nat_public_ips" {
  description = "The addresses our requests come from, for firewalls elsewhere."
  value       = [for address in aws_eip.nat : address.public_ip]
}
