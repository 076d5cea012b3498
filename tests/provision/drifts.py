"""What somebody may do by hand behind the playbooks' back. Each returns what the plan must name: action, kind, name."""

from __future__ import annotations

import json

from lifecycle import Environment

Drift = tuple[str, str, str]
OPEN = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def _mine(environment: Environment) -> list[dict]:
    return [{"Name": "tag:chromafleet:fleet", "Values": [environment.name]}]


def open_a_security_group(environment: Environment) -> Drift:
    ec2 = environment.client("ec2")
    name = f"{environment.name}-node"
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[OPEN])
    return "change", "security group", name


def tag_a_subnet(environment: Environment) -> Drift:
    ec2 = environment.client("ec2")
    subnet = ec2.describe_subnets(Filters=_mine(environment))["Subnets"][0]
    ec2.create_tags(Resources=[subnet["SubnetId"]], Tags=[{"Key": "Owner", "Value": "somebody"}])
    return "change", "subnet", subnet["CidrBlock"]


def remove_a_route(environment: Environment) -> Drift:
    ec2 = environment.client("ec2")
    filters = [*_mine(environment), {"Name": "tag:Name", "Values": [f"{environment.name}-public"]}]
    (table,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    return "change", "route table", "public"


def widen_a_role(environment: Environment) -> Drift:
    iam = environment.client("iam")
    role = f"{environment.name}-eu-central-1-reader"
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=role, PolicyName="fleet", PolicyDocument=json.dumps(everything))
    return "change", "IAM role policy", f"{role}/fleet"


def suspend_versioning(environment: Environment) -> Drift:
    bucket = f"chromafleet-{environment.name}-123456789012-eu-central-1"
    environment.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    return "change", "S3 bucket", bucket


def remove_a_lifecycle_policy(environment: Environment) -> Drift:
    repository = f"chromafleet/{environment.name}/chroma"
    environment.client("ecr").delete_lifecycle_policy(repositoryName=repository)
    return "change", "ECR repository", repository


def retag_a_secret(environment: Environment) -> Drift:
    secret = f"chromafleet/{environment.name}/cache"
    tags = [{"Key": "Owner", "Value": "somebody"}]
    environment.client("secretsmanager").tag_resource(SecretId=secret, Tags=tags)
    return "change", "secret", secret


def remove_a_listener_rule(environment: Environment) -> Drift:
    elb = environment.client("elbv2")
    (balancer,) = elb.describe_load_balancers(Names=[environment.name])["LoadBalancers"]
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    (arn,) = [listener["ListenerArn"] for listener in listeners if listener["Port"] == 443]
    rules = [rule for rule in elb.describe_rules(ListenerArn=arn)["Rules"] if not rule["IsDefault"]]
    last = max(rules, key=lambda rule: int(rule["Priority"]))
    elb.delete_rule(RuleArn=last["RuleArn"])
    return "create", "listener rule", f"{environment.name}:443/{last['Priority']}"


def grow_a_group(environment: Environment) -> Drift:
    name = f"{environment.name}-main-writer"
    environment.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=3)
    return "change", "auto-scaling group", name


def remove_a_scaling_policy(environment: Environment) -> Drift:
    name = f"{environment.name}-main-reader"
    environment.client("autoscaling").delete_policy(AutoScalingGroupName=name, PolicyName="cpu")
    return "create", "scaling policy", f"{name}/cpu"


def keep_logs_for_ever(environment: Environment) -> Drift:
    name = f"/chromafleet/{environment.name}/main/nginx"
    environment.client("logs").delete_retention_policy(logGroupName=name)
    return "change", "log group", name


def delete_an_alarm(environment: Environment) -> Drift:
    name = f"{environment.name}-main-writer-missing"
    environment.client("cloudwatch").delete_alarms(AlarmNames=[name])
    return "create", "alarm", name


def edit_the_dashboard(environment: Environment) -> Drift:
    name = f"{environment.name}-main"
    environment.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody='{"widgets": []}')
    return "change", "dashboard", name


def set_a_cache_parameter(environment: Environment) -> Drift:
    name = f"{environment.name}-main-valkey8"
    values = [{"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}]
    environment.client("elasticache").modify_cache_parameter_group(
        CacheParameterGroupName=name, ParameterNameValues=values
    )
    return "change", "cache parameter group", name
