package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

func newInspect(a *app) *cobra.Command {
	var image imageFlags
	var as string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect SOURCE",
		Short: "Say what a guest is: system, mounts, kernels, loader, packages",
		Example: `  vmconv inspect web.qcow2
  vmconv inspect --json web.qcow2 | jq .kernels
  vmconv inspect -a root.img -a data.img`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON || as == "json"
			disks, paths, err := a.split(&image, args, true)
			if err != nil {
				return err
			}
			if len(paths) > 0 {
				return usagef("inspect takes no guest path, not %q", paths[0])
			}
			if as != "text" && as != "json" {
				return usagef("--as takes text or json, not %q", as)
			}
			m, err := a.openMachineAt(cmd.Context(), &image, disks, readOnly, guest.Deep)
			if err != nil {
				return err
			}
			defer m.Close()
			if a.ui.json {
				return a.printJSON(struct {
					Schema string `json:"schema"`
					*guest.Facts
				}{"vmconv.inspect/1", m.Facts})
			}
			renderFacts(a.stdout, m.Facts)
			return nil
		},
	}
	image.register(cmd.Flags())
	cmd.Flags().StringVar(&as, "as", "text", "output as text or json")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func renderFacts(w io.Writer, f *guest.Facts) {
	if f.OS.Type != "" {
		fmt.Fprintf(w, "system      %s\n", printable(f.OS.Name))
		fmt.Fprintf(w, "            %s %s, %s, init %s, packages %s\n", f.OS.Distro, f.OS.Version, f.OS.Arch, f.OS.Init, f.OS.PackageFormat)
		fmt.Fprintf(w, "hostname    %s\n", printable(f.OS.Hostname))
		fmt.Fprintf(w, "root        %s\n", f.Root)
		fmt.Fprintf(w, "firmware    %s\n", firmwareText(f.Firmware))
	} else {
		fmt.Fprintln(w, "system      none found")
	}
	section(w, "FILESYSTEM\tTYPE\tSIZE\tUUID\tLABEL\tMOUNT", len(f.Filesystems), func(t io.Writer, i int) {
		fs := f.Filesystems[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", fs.Volume, fs.Type, humanSize(fs.Size), fs.UUID, printable(fs.Label), mountedAt(f, fs.Volume))
	})
	section(w, "KERNEL\tARCH\tINITRAMFS\tMADE BY\t", len(f.Kernels), func(t io.Writer, i int) {
		k := f.Kernels[i]
		mark := ""
		if k.Default {
			mark = "default"
		}
		if k.XenOnly {
			mark += " xen only"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.Version, k.Arch, k.Initramfs, k.Generator, mark)
	})
	section(w, "LOADER\tCONFIG", len(f.Loaders), func(t io.Writer, i int) {
		fmt.Fprintf(t, "%s\t%s\n", f.Loaders[i].Kind, f.Loaders[i].Config)
	})
	programs := efiLoaders(f)
	section(w, "EFI PROGRAM\tWHAT\tLEADS TO", len(programs), func(t io.Writer, i int) {
		p := programs[i]
		leads := p.Broken
		if leads == "" && len(p.Chain) > 0 {
			leads = p.Chain[len(p.Chain)-1]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", printable(p.Path), p, printable(leads))
	})
	section(w, "NIC\tMAC\tADDRESS\tNAMED IN", len(f.NICs), func(t io.Writer, i int) {
		n := f.NICs[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", n.Name, n.MAC, n.Address, n.Source)
	})
	if len(f.Packages) > 0 {
		fmt.Fprintf(w, "\n%d packages (listed by --json)\n", len(f.Packages))
	}
	for _, text := range f.Warnings {
		fmt.Fprintf(w, "warning: %s\n", printable(text))
	}
}

// efiLoaders are the programs on EFI system partitions that start systems.
func efiLoaders(f *guest.Facts) []guest.EFIProgram {
	var out []guest.EFIProgram
	for _, esp := range f.Firmware.ESPs {
		for _, p := range esp.Programs {
			if p.Loads() {
				out = append(out, p)
			}
		}
	}
	return out
}

// section prints a table under a heading, or nothing when it is empty.
func section(w io.Writer, heading string, n int, row func(io.Writer, int)) {
	if n == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, heading)
	for i := range n {
		row(t, i)
	}
	t.Flush()
}

func mountedAt(f *guest.Facts, volume string) string {
	var at []string
	for _, m := range f.Mounts {
		if m.Volume == volume {
			at = append(at, printable(m.Path))
		}
	}
	for _, m := range f.Swaps {
		if m.Volume == volume {
			at = append(at, "swap")
		}
	}
	return strings.Join(at, " ")
}

func firmwareText(f guest.Firmware) string {
	switch {
	case f.BIOS && f.UEFI:
		return "BIOS or UEFI"
	case f.BIOS:
		return "BIOS"
	case f.UEFI:
		return "UEFI"
	}
	return "none: the hypervisor has to start the kernel itself"
}
