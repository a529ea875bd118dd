package vmdef

import (
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ParseXL reads a guest configuration of Xen, of xl (xl.cfg(5)) or of xm as far as
// that holds literals. It is parsed as data; a program is refused with its line.
func ParseXL(data []byte, limits ondisk.Limits) (VM, []string, error) {
	limits = limits.OrDefault()
	if err := checkText("xl", data, limits, "\n"); err != nil {
		return VM{}, nil, err
	}
	settings, err := parseXLSettings(unmark(data), limits)
	if err != nil {
		return VM{}, nil, err
	}
	if len(settings) == 0 {
		return VM{}, nil, ondisk.At("xl", "settings", ondisk.NoOffset).Format("no settings")
	}
	r := &xlReader{values: map[string]xlValue{}}
	for _, s := range settings {
		r.values[s.name] = s.value // the last one counts
		if !xlKnown[s.name] {
			r.warn.add("line %d: %s is not carried over", s.value.line, short(s.name))
		}
	}
	if err := r.read(); err != nil {
		return VM{}, nil, err
	}
	return r.vm, r.warn.list, nil
}

type xlReader struct {
	values map[string]xlValue
	vm     VM
	warn   warnings
}

// xlKnown are the settings that are read, or that a guest elsewhere has its own of.
var xlKnown = wordSet(`name uuid type builder memory maxmem vcpus maxvcpus kernel ramdisk root extra cmdline
	bootloader bootloader_args boot bios firmware disk vif serial machine ms_vm_genid
	cpus cpus_soft cpu_cap cpu_weight pool shadow_memory localtime rtc_timeoffset tsc_mode timer_mode hpet nx pae acpi
	apic acpi_s3 acpi_s4 hap viridian xen_platform_pci on_poweroff on_reboot on_watchdog on_crash on_soft_reset
	vfb vnc vnclisten vncdisplay vncunused vncpasswd vncviewer vncconsole sdl opengl stdvga vga videoram spice spicehost spiceport
	spicedisable_ticketing spiceagent_mouse keymap nographic usb usbdevice usbctrl soundhw device_model
	device_model_version device_model_override device_model_stubdomain_override nestedhvm
	seclabel device_model_args driver_domain altp2m vkb xen_extended_power_mgmt`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

func (r *xlReader) text(name string) string { return r.values[name].text }

// number is a setting from 0 to max, or 0; xl takes it in quotes as well.
func (r *xlReader) number(name string, max int64) int64 {
	v, set := r.values[name]
	if !set {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v.text), 0, 64)
	if err != nil || n < 0 || n > max || v.isList {
		r.warn.add("line %d: %s of %s is not understood", v.line, name, short(v.text))
		return 0
	}
	return n
}

func (r *xlReader) read() error {
	vm := &r.vm
	vm.Name, vm.UUID = r.text("name"), strings.ToLower(r.text("uuid"))
	vm.Memory = max(r.number("memory", 1<<40), r.number("maxmem", 1<<40)) << 20 // MiB
	vm.CPUs.Count = int(max(r.number("vcpus", maxCPUs), r.number("maxvcpus", maxCPUs)))
	vm.Machine = r.text("machine")
	vm.Console = r.values["serial"].isList || r.text("serial") != "" && r.text("serial") != "none"
	if id := r.text("ms_vm_genid"); id != "generate" && id != "none" {
		vm.GenID = id
	}
	r.virtualization()
	r.firmware()
	r.kernel()
	if err := r.eachSpec("disk", r.disk); err != nil {
		return err
	}
	if err := r.eachSpec("vif", r.vif); err != nil {
		return err
	}
	r.bootOrder()
	return nil
}

func (r *xlReader) virtualization() {
	switch kind := r.text("type"); {
	case kind == "hvm" || kind == "pv" || kind == "pvh":
		r.vm.Virt = kind
	case kind != "":
		r.warn.add("type %s is not known", short(kind))
	case r.text("builder") == "hvm":
		r.vm.Virt = "hvm"
	default:
		r.vm.Virt = "pv" // what xl.cfg(5) says of a file without a type
	}
}

func (r *xlReader) firmware() {
	name := strings.ToLower(r.text("bios"))
	if name == "" {
		name = strings.ToLower(r.text("firmware"))
	}
	switch name {
	case "ovmf", "uefi":
		r.vm.Firmware = "efi"
	case "seabios", "rombios", "bios":
		r.vm.Firmware = "bios"
	case "", "pvgrub32", "pvgrub64", "none":
		if r.vm.Virt == "hvm" {
			r.vm.Firmware = "bios" // xl's default
		}
	default:
		r.warn.add("firmware %s is not known", short(name))
	}
}

// kernel is one of the host's. For an HVM guest the old tools gave their firmware
// there, which is not a kernel.
func (r *xlReader) kernel() {
	image := r.text("kernel")
	if image == "" || strings.HasSuffix(image, "hvmloader") {
		return
	}
	args := r.text("cmdline")
	if args == "" {
		args = r.text("extra")
		if root := r.text("root"); root != "" {
			args = strings.TrimSpace("root=" + root + " " + args)
		}
	}
	r.vm.Kernel = &Kernel{Image: image, Initramfs: r.text("ramdisk"), Args: args}
}

// eachSpec reads a list of strings, such as disk and vif.
func (r *xlReader) eachSpec(name string, read func(xlValue) error) error {
	v, set := r.values[name]
	if !set {
		return nil
	}
	if !v.isList {
		return ondisk.At("xl", name, ondisk.NoOffset).In("line %d", v.line).Corrupt("not a list")
	}
	for _, e := range v.list {
		if e.isList {
			return ondisk.At("xl", name, ondisk.NoOffset).In("line %d", e.line).Corrupt("a list within the list")
		}
		if err := read(e); err != nil {
			return err
		}
	}
	return nil
}

// vif reads xl-network-configuration(5): "mac=…,bridge=…,model=…".
func (r *xlReader) vif(v xlValue) error {
	var nic NIC
	for _, field := range strings.Split(v.text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch key {
		case "mac":
			if nic.MAC = macAddress(value); nic.MAC == "" {
				r.warn.add("line %d: %s is no MAC address", v.line, short(value))
			}
		case "bridge":
			nic.Type, nic.Network = "bridge", value
		case "model":
			nic.Model = value
		case "type":
			if value == "vif" {
				nic.Model = "netfront"
			}
		case "", "script", "ip", "backend", "vifname", "rate", "devid", "gatewaydev", "trusted":
		default:
			r.warn.add("line %d: %s of a network interface is not carried over", v.line, short(key))
		}
	}
	r.vm.NICs = append(r.vm.NICs, nic)
	return nil
}

// bootOrder reads the letters of boot: c is the first disk, d the first drive.
func (r *xlReader) bootOrder() {
	for i, letter := range r.text("boot") {
		switch {
		case letter == 'c' && len(r.vm.Disks) > 0 && r.vm.Disks[0].Boot == 0:
			r.vm.Disks[0].Boot = i + 1
		case letter == 'd' && len(r.vm.Removables) > 0 && r.vm.Removables[0].Boot == 0:
			r.vm.Removables[0].Boot = i + 1
		}
	}
}
