"""EC2."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidLaunchTemplateVersionNotFound
from moto.ec2.models import elastic_block_store, instances, launch_templates, nat_gateways, tags, vpcs
from moto.ec2.responses import launch_templates as responses
from moto.ec2.utils import generic_filter, parse_user_data

from localcloud.patches import Client, _probe, restores


@restores("DescribeTags filters and names a NAT gateway as `natgateway`")
def nat_gateway_tags() -> None:
    stock = tags.TagBackend.describe_tags

    def describe_tags(self: Any, filters: Any = None) -> Any:
        if filters and "resource-type" in filters:
            kinds = ["nat-gateway" if kind == "natgateway" else kind for kind in filters["resource-type"]]
            filters = {**filters, "resource-type": kinds}
        return stock(self, filters)

    tags.TagBackend.describe_tags = describe_tags


@nat_gateway_tags.shown_by
def _nat_gateway_tags(client: Client) -> bool:
    ec2 = client("ec2")
    _, subnets = _probe.network(client)
    nat = ec2.create_nat_gateway(SubnetId=subnets[0], ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    ec2.create_tags(Resources=[nat], Tags=[{"Key": "k", "Value": "v"}])
    return bool(ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["natgateway"]}])["Tags"])


@restores("A launch template's own tags are no part of its data")
def launch_template_tags() -> None:
    def create_launch_template(self: Any) -> ActionResult:
        data = self._get_param("LaunchTemplateData", {})
        data["UserData"] = parse_user_data(self._get_param("LaunchTemplateData.UserData"))
        self.error_on_dryrun()
        template = self.ec2_backend.create_launch_template(
            self._get_param("LaunchTemplateName"),
            self._get_param("VersionDescription"),
            data,
            self._parse_tag_specification(),
        )
        version = template.default_version()
        return ActionResult(
            {
                "LaunchTemplate": {
                    "CreateTime": version.create_time,
                    "CreatedBy": f"arn:{self.partition}:iam::{self.current_account}:root",
                    "DefaultVersionNumber": template.default_version_number,
                    "LatestVersionNumber": version.number,
                    "LaunchTemplateId": template.id,
                    "LaunchTemplateName": template.name,
                    "Tags": template.tags,
                }
            }
        )

    responses.LaunchTemplates.create_launch_template = create_launch_template


@launch_template_tags.shown_by
def _launch_template_tags(client: Client) -> bool:
    ec2 = client("ec2")
    ec2.create_launch_template(
        LaunchTemplateName="probe",
        LaunchTemplateData={"InstanceType": "t3.micro"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "k", "Value": "v"}]}],
    )
    version = ec2.describe_launch_template_versions(LaunchTemplateName="probe")["LaunchTemplateVersions"][0]
    return "TagSpecifications" not in version["LaunchTemplateData"]


@restores("A later version of a launch template with user data starts instances, which get it")
def launch_template_version_user_data() -> None:
    stock = launch_templates.LaunchTemplate.create_version

    def create_version(self: Any, data: dict[str, Any], description: str) -> Any:
        if isinstance(data.get("UserData"), str):
            data["UserData"] = parse_user_data(data["UserData"])
        return stock(self, data, description)

    launch_templates.LaunchTemplate.create_version = create_version


@launch_template_version_user_data.shown_by
def _launch_template_version_user_data(client: Client) -> bool:
    ec2, template, given = client("ec2"), _probe.launch_template(client), base64.b64encode(b"#!/bin/sh\n").decode()
    data = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"][0]
    ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={**data["LaunchTemplateData"], "UserData": given}
    )
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
    made = _probe.group(client, 1, template=template)[0]["InstanceId"]
    return ec2.describe_instance_attribute(InstanceId=made, Attribute="userData")["UserData"]["Value"] == given


@restores("DeleteLaunchTemplateVersions exists, and the other versions keep their numbers")
def delete_launch_template_versions() -> None:
    template = launch_templates.LaunchTemplate
    stock = template.create_version

    def create_version(self: Any, data: dict[str, Any], description: str) -> Any:
        number = self.versions[-1].number + 1 if self.versions else 1
        version = stock(self, data, description)
        version.number = number
        return version

    def get_version(self: Any, num: Any) -> Any:
        words = {"$latest": self.versions[-1].number, "$default": self.default_version_number}
        number = words.get(str(num).lower(), num)
        for version in self.versions:
            if str(version.number) == str(number):
                return version
        raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=num)

    def delete(self: Any) -> ActionResult:
        found = self.ec2_backend.get_launch_template(self._get_param("LaunchTemplateId"))
        leaving = [found.get_version(number) for number in self._get_param("Versions")]
        found.versions = [version for version in found.versions if version not in leaving]
        gone = [
            {"LaunchTemplateId": found.id, "LaunchTemplateName": found.name, "VersionNumber": version.number}
            for version in leaving
        ]
        return ActionResult(
            {"SuccessfullyDeletedLaunchTemplateVersions": gone, "UnsuccessfullyDeletedLaunchTemplateVersions": []}
        )

    template.create_version = create_version
    template.get_version = get_version
    template.default_version = lambda self: self.get_version("$Default")
    responses.LaunchTemplates.delete_launch_template_versions = delete


@delete_launch_template_versions.shown_by
def _delete_launch_template_versions(client: Client) -> bool:
    ec2, template = client("ec2"), _probe.launch_template(client)
    for size in ("t3.small", "t3.large"):
        ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData={"InstanceType": size})
    ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["2"])
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="3")
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["$Default"])
    left = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    (default,) = versions["LaunchTemplateVersions"]
    return default["LaunchTemplateData"]["InstanceType"] == "t3.large" and [v["VersionNumber"] for v in left] == [1, 3]


@restores("A launch template's tags can be changed")
def launch_template_tags_change() -> None:
    launch_templates.LaunchTemplate.tags = property(lambda self: self.get_tags(), lambda self, _tags: None)


@launch_template_tags_change.shown_by
def _launch_template_tags_change(client: Client) -> bool:
    template = _probe.launch_template(client)
    client("ec2").create_tags(Resources=[template], Tags=[{"Key": "k", "Value": "v"}])
    (found,) = client("ec2").describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
    return found["Tags"] == [{"Key": "k", "Value": "v"}]


@restores("An instance gets its launch template's instance profile and metadata options")
def launch_template_profile() -> None:
    stock = instances.InstanceBackend.run_instances

    def run_instances(self: Any, image_id: str, count: int, user_data: Any, groups: Any, **more: Any) -> Any:
        reservation = stock(self, image_id, count, user_data, groups, **more)
        if more.get("launch_template"):
            data = self._get_template_from_args(more["launch_template"]).data
            for instance in reservation.instances:
                if options := data.get("MetadataOptions"):
                    instance.metadata_options = instances.MetadataOptions(options)
                if profile := data.get("IamInstanceProfile"):
                    with contextlib.suppress(EC2ClientError):  # already associated
                        self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
        return reservation

    instances.InstanceBackend.run_instances = run_instances


@launch_template_profile.shown_by
def _launch_template_profile(client: Client) -> bool:
    client("iam").create_instance_profile(InstanceProfileName="p")
    template = _probe.launch_template(
        client, IamInstanceProfile={"Name": "p"}, MetadataOptions={"HttpTokens": "required"}
    )
    made = _probe.group(client, 1, template=template)[0]["InstanceId"]
    found = client("ec2").describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]
    return found["MetadataOptions"]["HttpTokens"] == "required" and "IamInstanceProfile" in found


@restores("ModifyInstanceMetadataOptions changes the options that it is given and leaves the others as they were")
def metadata_options() -> None:
    stock = instances.InstanceBackend.modify_instance_metadata_options

    def modify_instance_metadata_options(self: Any, instance_id: str, **given: Any) -> Any:
        before = self.get_instance(instance_id).metadata_options
        known = {
            "http_tokens": before.http_tokens,
            "hop_limit": before.http_put_response_hop_limit,
            "http_endpoint": before.http_endpoint,
            "http_protocol": before.http_protocol_ipv6,
            "metadata_tags": before.instance_metadata_tags,
        }
        return stock(self, instance_id, **known | {name: value for name, value in given.items() if value is not None})

    instances.InstanceBackend.modify_instance_metadata_options = modify_instance_metadata_options


@metadata_options.shown_by
def _metadata_options(client: Client) -> bool:
    ec2 = client("ec2")
    wanted = {"HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"}
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, MetadataOptions=wanted)["Instances"][0]
    ec2.modify_instance_metadata_options(InstanceId=made["InstanceId"], HttpTokens="required")
    found = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    return (wanted | {"HttpTokens": "required"}).items() <= found["MetadataOptions"].items()


@restores("DescribeVolumes always has MultiAttachEnabled and SnapshotId, as botocore's callers expect")
def volume_fields() -> None:
    stock = elastic_block_store.Volume.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        stock(self, *args, **more)
        self.multi_attach_enabled = bool(self.multi_attach_enabled)
        self.snapshot_id = self.snapshot_id or ""

    elastic_block_store.Volume.__init__ = init


@volume_fields.shown_by
def _volume_fields(client: Client) -> bool:
    made = client("ec2").create_volume(AvailabilityZone="us-east-1a", Size=1)
    volume = client("ec2").describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]
    return "MultiAttachEnabled" in volume and "SnapshotId" in volume


@restores("DetachVolume needs no instance id: a volume is attached to one instance at most")
def detach_by_volume() -> None:
    stock = elastic_block_store.EBSBackend.detach_volume

    def detach_volume(self: Any, volume_id: str, instance_id: str | None, device_path: str | None) -> Any:
        attachment = self.get_volume(volume_id).attachment
        if attachment is not None:
            instance_id, device_path = instance_id or attachment.instance.id, device_path or attachment.device
        return stock(self, volume_id, instance_id, device_path)

    elastic_block_store.EBSBackend.detach_volume = detach_volume


@detach_by_volume.shown_by
def _detach_by_volume(client: Client) -> bool:
    made = _probe.group(client, 1)[0]
    ec2 = client("ec2")
    volume = ec2.create_volume(AvailabilityZone=made["AvailabilityZone"], Size=1)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=made["InstanceId"], Device="/dev/sdf")
    ec2.detach_volume(VolumeId=volume)
    return ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


@restores("DeleteNatGateway gives back the addresses and the network interface of the gateway")
def nat_gateway_release() -> None:
    stock = nat_gateways.NatGatewayBackend.delete_nat_gateway

    def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
        gateway = stock(self, nat_gateway_id)
        for address in gateway.address_set:
            if public_ip := address.get("publicIp"):
                self.disassociate_address(address=public_ip)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    nat_gateways.NatGatewayBackend.delete_nat_gateway = delete_nat_gateway


@nat_gateway_release.shown_by
def _nat_gateway_release(client: Client) -> bool:
    ec2 = client("ec2")
    _, subnets = _probe.network(client)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    ec2.delete_nat_gateway(NatGatewayId=made)
    in_use = "AssociationId" in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    here = [{"Name": "subnet-id", "Values": [subnets[0]]}]
    return not in_use and not ec2.describe_network_interfaces(Filters=here)["NetworkInterfaces"]


@restores("ModifyVpcEndpoint adds and removes the routes of a gateway endpoint")
def gateway_endpoint_routes() -> None:
    stock = vpcs.VPCBackend.modify_vpc_endpoint

    def modify_vpc_endpoint(self: Any, vpc_id: str, *args: Any, **more: Any) -> None:
        endpoint = self.vpc_end_points[vpc_id]
        before = set(endpoint.route_table_ids)
        stock(self, vpc_id, *args, **more)
        after = set(endpoint.route_table_ids)
        if prefix_list := endpoint.destination_prefix_list_id:
            for table in after - before:
                self.create_route(table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefix_list)
            for table in before - after:
                self.delete_route(table, prefix_list)

    vpcs.VPCBackend.modify_vpc_endpoint = modify_vpc_endpoint


@gateway_endpoint_routes.shown_by
def _gateway_endpoint_routes(client: Client) -> bool:
    ec2 = client("ec2")
    vpc, _ = _probe.network(client)
    one, other = (ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2))
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[one])
    endpoint = made["VpcEndpoint"]["VpcEndpointId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[other], RemoveRouteTableIds=[one])
    tables = ec2.describe_route_tables(RouteTableIds=[one, other])["RouteTables"]
    return [table["RouteTableId"] for table in tables for route in table["Routes"] if "vpce-" in str(route)] == [other]


@restores("The network interface that an instance started with goes when the instance is terminated")
def interface_goes_with_instance() -> None:
    stock = instances.Instance.prep_nics

    def prep_nics(self: Any, nic_spec: list[dict[str, Any]], *args: Any, **more: Any) -> None:
        stock(self, nic_spec, *args, **more)
        told = {"NetworkInterfaceId", "DeleteOnTermination"}
        kept = {int(nic["DeviceIndex"]) for nic in nic_spec if told & nic.keys()}
        for index, made in self.nics.items():
            made.delete_on_termination = made.delete_on_termination or index not in kept

    instances.Instance.prep_nics = prep_nics


@interface_goes_with_instance.shown_by
def _interface_goes_with_instance(client: Client) -> bool:
    made = _probe.group(client, 1)[0]["InstanceId"]
    client("ec2").terminate_instances(InstanceIds=[made])
    here = [{"Name": "description", "Values": ["Primary network interface"]}]
    found = client("ec2").describe_network_interfaces(Filters=here)["NetworkInterfaces"]
    return not [one for one in found if one.get("Attachment", {}).get("InstanceId") == made]


@restores("DescribeNatGateways filters by tag")
def nat_gateway_tag_filter() -> None:
    stock = nat_gateways.NatGatewayBackend.describe_nat_gateways

    def describe_nat_gateways(self: Any, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
        by_tag = {name: values for name, values in (filters or {}).items() if name.startswith("tag")}
        return generic_filter(by_tag, stock(self, filters, nat_gateway_ids))

    nat_gateways.NatGatewayBackend.describe_nat_gateways = describe_nat_gateways


@nat_gateway_tag_filter.shown_by
def _nat_gateway_tag_filter(client: Client) -> bool:
    ec2 = client("ec2")
    _, subnets = _probe.network(client)
    ours, _ = (
        ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
        for subnet in subnets
    )
    ec2.create_tags(Resources=[ours], Tags=[{"Key": "k", "Value": "v"}])
    found = ec2.describe_nat_gateways(Filter=[{"Name": "tag:k", "Values": ["v"]}])["NatGateways"]
    return [gateway["NatGatewayId"] for gateway in found] == [ours]
