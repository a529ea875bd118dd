package xva

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// document is ova.xml of a machine that is being written. The fields are those
// that xapi 1.9 (XenServer 7.1) reads; it has no default for most of them, and
// later ones have a default for each that they added.
type document struct {
	Description
	date    time.Time
	refs    int // given out
	width   int // digits of a reference
	objects []*value
}

const nullRef = "OpaqueRef:NULL"

// newDocument gives every disk its reference.
func newDocument(d Description, date time.Time) *document {
	doc := &document{Description: d, date: date}
	doc.Disks, doc.NICs = slices.Clone(d.Disks), slices.Clone(d.NICs)
	doc.width = len(strconv.Itoa(2 + 2*len(d.Disks) + 2*len(d.NICs)))
	for i := range doc.Disks {
		doc.Disks[i].Ref = doc.ref()
	}
	return doc
}

// ref is a new reference. As text they ascend in the order of their making.
func (d *document) ref() string {
	d.refs++
	return fmt.Sprintf("Ref:%0*d", d.width, d.refs)
}

// uuid is made from names (RFC 9562, version 5, in no registered space).
func (d *document) uuid(ref string) *value {
	sum := sha1.Sum([]byte("vmconv xva\x00" + d.Name + "\x00" + ref))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return text(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32])
}

func (d *document) object(class, ref string, fields ...namedValue) {
	d.objects = append(d.objects, structure(
		namedValue{"class", text(class)}, namedValue{"id", text(ref)},
		namedValue{"snapshot", structure(append([]namedValue{{"uuid", d.uuid(ref)}}, fields...)...)}))
}

// bytes is the whole document.
func (d *document) bytes() []byte {
	vm, sr := d.ref(), d.ref()
	var drives, cards []*value
	for i, disk := range d.Disks {
		drives = append(drives, d.drive(vm, disk, cmp.Or(disk.Device, strconv.Itoa(i))))
	}
	for i, nic := range d.NICs {
		cards = append(cards, d.card(vm, nic, cmp.Or(nic.Device, strconv.Itoa(i))))
	}
	d.machine(vm, drives, cards)
	for _, disk := range d.Disks {
		d.disk(sr, disk)
	}
	d.object("SR", sr,
		namedValue{"name_label", text("")}, namedValue{"name_description", text("")},
		namedValue{"VDIs", array(d.diskRefs()...)}, namedValue{"PBDs", array()},
		namedValue{"virtual_allocation", text("0")}, namedValue{"physical_utilisation", text("0")},
		namedValue{"physical_size", text("0")}, namedValue{"type", text("lvm")}, namedValue{"content_type", text("user")},
		namedValue{"shared", boolean(false)}, namedValue{"other_config", structure()})
	root := structure(
		namedValue{"version", structure(
			namedValue{"hostname", text("localhost")}, namedValue{"date", text(d.date.UTC().Format(time.DateOnly))},
			namedValue{"product_version", text("7.1.0")}, namedValue{"product_brand", text("XenServer")},
			namedValue{"build_number", text("0")}, namedValue{"xapi_major", text("1")}, namedValue{"xapi_minor", text("9")},
			namedValue{"export_vsn", text("2")})},
		namedValue{"objects", array(d.objects...)})
	var b bytes.Buffer
	root.encode(&b)
	return b.Bytes()
}

func (d *document) diskRefs() []*value {
	refs := make([]*value, len(d.Disks))
	for i, disk := range d.Disks {
		refs[i] = text(disk.Ref)
	}
	return refs
}

// machine is the VM. Memory is not ballooned: all limits are the same.
func (d *document) machine(ref string, drives, cards []*value) {
	memory, cpus := text(strconv.FormatInt(d.Memory, 10)), text(strconv.Itoa(d.VCPUs))
	fields := []namedValue{
		{"power_state", text("Halted")},
		{"name_label", text(d.Name)}, {"name_description", text(d.Text)},
		{"user_version", text("1")}, {"is_a_template", boolean(false)},
		{"suspend_VDI", text(nullRef)}, {"resident_on", text(nullRef)}, {"affinity", text(nullRef)},
		{"memory_overhead", text("0")}, {"memory_target", memory}, {"memory_static_max", memory},
		{"memory_dynamic_max", memory}, {"memory_dynamic_min", memory}, {"memory_static_min", memory},
		{"VCPUs_params", structure()}, {"VCPUs_max", cpus}, {"VCPUs_at_startup", cpus},
		{"actions_after_shutdown", text("destroy")}, {"actions_after_reboot", text("restart")},
		{"actions_after_crash", text("restart")},
		{"VIFs", array(cards...)}, {"VBDs", array(drives...)},
		{"domid", text("-1")}, {"domarch", text("")}, {"is_control_domain", boolean(false)},
		{"metrics", text(nullRef)}, {"guest_metrics", text(nullRef)},
		{"is_a_snapshot", boolean(false)}, {"snapshot_of", text(nullRef)}, {"snapshot_time", never()},
		{"parent", text(nullRef)}, {"protection_policy", text(nullRef)}, {"is_snapshot_from_vmpp", boolean(false)},
		{"ha_always_run", boolean(false)}, {"has_vendor_device", boolean(false)}, {"requires_reboot", boolean(false)},
		{"start_delay", text("0")}, {"shutdown_delay", text("0")}, {"order", text("0")}, {"version", text("0")},
		{"hardware_platform_version", text("0")},
		{"appliance", text(nullRef)}, {"suspend_SR", text(nullRef)},
	}
	for _, name := range []string{"PCI_bus", "last_booted_record", "recommendations", "ha_restart_priority",
		"transportable_snapshot_id", "snapshot_metadata", "generation_id", "reference_label"} {
		fields = append(fields, namedValue{name, text("")})
	}
	for _, name := range []string{"consoles", "crash_dumps", "VTPMs", "VGPUs", "attached_PCIs", "snapshots", "children", "tags", "allowed_operations"} {
		fields = append(fields, namedValue{name, array()})
	}
	for _, name := range []string{"current_operations", "other_config", "last_boot_CPU_flags", "xenstore_data", "blobs",
		"blocked_operations", "snapshot_info", "bios_strings"} {
		fields = append(fields, namedValue{name, structure()})
	}
	d.object("VM", ref, append(fields, d.boot()...)...)
}

// boot is how the machine starts: by its firmware, or by a boot loader of the
// host.
func (d *document) boot() []namedValue {
	platform := map[string]string{"acpi": "1", "apic": "true", "pae": "true", "nx": "true", "stdvga": "0"}
	maps.Copy(platform, d.Platform)
	policy, domain, params := "", "pv", map[string]string{}
	if d.HVM {
		policy, domain = "BIOS order", "hvm"
		params["order"] = cmp.Or(d.BootOrder, "cd")
		params["firmware"] = cmp.Or(d.Firmware, "bios")
	}
	if d.SecureBoot {
		platform["secureboot"] = "true"
	}
	if d.Firmware == "uefi" {
		platform["device-model"] = "qemu-upstream-uefi"
	}
	return []namedValue{
		{"PV_bootloader", text(d.PVBootloader)}, {"PV_kernel", text(d.PVKernel)}, {"PV_ramdisk", text("")},
		{"PV_args", text(d.PVArgs)}, {"PV_bootloader_args", text("")}, {"PV_legacy_args", text("")},
		{"HVM_boot_policy", text(policy)}, {"HVM_boot_params", dictionary(params)},
		{"HVM_shadow_multiplier", &value{text: "1", typ: "double"}}, {"domain_type", text(domain)}, {"platform", dictionary(platform)},
	}
}

// drive attaches a disk to the machine.
func (d *document) drive(vm string, disk Disk, device string) *value {
	ref, mode := d.ref(), "RW"
	if disk.ReadOnly {
		mode = "RO"
	}
	d.object("VBD", ref, append(attached(),
		namedValue{"VM", text(vm)}, namedValue{"VDI", text(disk.Ref)},
		namedValue{"device", text("")}, namedValue{"userdevice", text(device)}, namedValue{"bootable", boolean(disk.Bootable)},
		namedValue{"mode", text(mode)}, namedValue{"type", text("Disk")}, namedValue{"unpluggable", boolean(false)},
		namedValue{"storage_lock", boolean(false)}, namedValue{"empty", boolean(false)})...)
	return text(ref)
}

// card is a network card and its network, which the host looks up by its name,
// then by its bridge, and makes anew otherwise.
func (d *document) card(vm string, nic NIC, device string) *value {
	ref, network := d.ref(), d.ref()
	d.object("VIF", ref, append(attached(),
		namedValue{"VM", text(vm)}, namedValue{"network", text(network)}, namedValue{"device", text(device)},
		namedValue{"MAC", text(nic.MAC)}, namedValue{"MAC_autogenerated", boolean(nic.MAC == "")}, namedValue{"MTU", text("1500")},
		namedValue{"locking_mode", text("network_default")},
		namedValue{"ipv4_allowed", array()}, namedValue{"ipv6_allowed", array()})...)
	d.object("network", network,
		namedValue{"name_label", text(nic.Network)}, namedValue{"name_description", text("")},
		namedValue{"VIFs", array(text(ref))}, namedValue{"PIFs", array()}, namedValue{"MTU", text("1500")},
		namedValue{"other_config", structure()}, namedValue{"bridge", text(cmp.Or(nic.Bridge, "xenbr0"))},
		namedValue{"blobs", structure()}, namedValue{"tags", array()}, namedValue{"default_locking_mode", text("unlocked")})
	return text(ref)
}

// attached is what drives and network cards have in common.
func attached() []namedValue {
	return []namedValue{
		{"allowed_operations", array()}, {"current_operations", structure()},
		{"other_config", structure()}, {"currently_attached", boolean(false)}, {"status_code", text("0")}, {"status_detail", text("")},
		{"runtime_properties", structure()}, {"qos_algorithm_type", text("")}, {"qos_algorithm_params", structure()},
		{"qos_supported_algorithms", array()}, {"metrics", text(nullRef)},
	}
}

func (d *document) disk(sr string, disk Disk) {
	d.object("VDI", disk.Ref,
		namedValue{"name_label", text(cmp.Or(disk.Name, d.Name))}, namedValue{"name_description", text("")},
		namedValue{"SR", text(sr)}, namedValue{"virtual_size", text(strconv.FormatInt(disk.Size, 10))},
		namedValue{"physical_utilisation", text("0")}, namedValue{"type", text("user")}, namedValue{"sharable", boolean(false)},
		namedValue{"read_only", boolean(false)}, namedValue{"storage_lock", boolean(false)}, namedValue{"managed", boolean(true)},
		namedValue{"missing", boolean(false)}, namedValue{"is_a_snapshot", boolean(false)}, namedValue{"snapshot_of", text(nullRef)},
		namedValue{"snapshot_time", never()}, namedValue{"parent", text(nullRef)}, namedValue{"location", text("")},
		namedValue{"VBDs", array()}, namedValue{"snapshots", array()}, namedValue{"crash_dumps", array()}, namedValue{"tags", array()},
		namedValue{"allowed_operations", array()}, namedValue{"current_operations", structure()},
		namedValue{"other_config", structure()}, namedValue{"sm_config", structure()}, namedValue{"xenstore_data", structure()})
}

// dictionary is a struct of texts, sorted.
func dictionary(m map[string]string) *value {
	v := structure()
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v.members = append(v.members, namedValue{key, text(m[key])})
	}
	return v
}

// never is a time that is not set.
func never() *value { return &value{text: "19700101T00:00:00Z", typ: "dateTime.iso8601"} }
