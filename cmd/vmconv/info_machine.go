package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// machineInfo is an appliance, or a description with its disks.
type machineInfo struct {
	File     string       `json:"file"`
	FileSize int64        `json:"file_size"`
	Kind     machine.Kind `json:"kind"`
	VM       vmdef.VM     `json:"vm"`
	Images   []diskInfo   `json:"images"` // one for each of vm.disks
	Warnings []string     `json:"warnings,omitempty"`
}

// diskInfo is the image of one disk of a machine.
type diskInfo struct {
	File     string         `json:"file,omitempty"` // as the description names it
	FileSize int64          `json:"file_size,omitempty"`
	Error    string         `json:"error,omitempty"` // why there is no image
	Image    *imagefmt.Info `json:"image,omitempty"`
}

func newMachineInfo(path string, size int64, s machine.Summary) machineInfo {
	m := machineInfo{File: path, FileSize: size, Kind: s.Kind, VM: s.VM, Warnings: s.Warnings, Images: []diskInfo{}}
	for i, d := range s.Disks {
		info := diskInfo{File: s.VM.Disks[i].File, FileSize: d.FileSize}
		if d.Err != nil {
			info.Error = d.Err.Error()
		} else {
			info.Image = &d.Info
		}
		m.Images = append(m.Images, info)
	}
	return m
}

func renderMachine(w io.Writer, m machineInfo) {
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%-13s %s\n", name+":", printable(text))
		}
	}
	row("machine", m.File)
	row("kind", string(m.Kind))
	row("name", m.VM.Name)
	row("title", m.VM.Title)
	row("guest system", m.VM.GuestOS)
	if m.VM.CPUs.Count > 0 {
		row("cpus", fmt.Sprint(m.VM.CPUs.Count))
	}
	if m.VM.Memory > 0 {
		row("memory", humanSize(m.VM.Memory))
	}
	row("firmware", firmwareName(m.VM))
	for i, d := range m.Images {
		row(fmt.Sprintf("disk %d", i+1), diskText(m.VM.Disks[i], d))
	}
	for i, nic := range m.VM.NICs {
		row(fmt.Sprintf("nic %d", i+1), words(nic.Model, nic.MAC, nic.Network))
	}
	for _, text := range m.Warnings {
		row("notice", text)
	}
}

func firmwareName(vm vmdef.VM) string {
	if vm.SecureBoot {
		return vm.Firmware + ", secure boot"
	}
	return vm.Firmware
}

// diskText is one line about a disk: where it is attached, its file, its image.
func diskText(d vmdef.Disk, i diskInfo) string {
	place := d.Bus
	if d.Device != "" && d.Device != d.Bus {
		place = words(place, d.Device)
	}
	if i.Error != "" {
		return words(place, d.File+d.Remote) + ": " + i.Error
	}
	return words(place, d.File, i.Image.Format, i.Image.Variant) + ", " + humanSize(i.Image.VirtualSize)
}

// words joins what is not empty.
func words(list ...string) string {
	return strings.Join(strings.Fields(strings.Join(list, " ")), " ")
}
