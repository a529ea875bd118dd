package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt"
)

func newInfo(a *app) *cobra.Command {
	var f imageFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info IMAGE...",
		Short: "Describe disk images and machines",
		Long: `Describe disk images: format, sizes, features, what they refer to. Only the
named files are opened, never a backing or data file that an image names.

Of an appliance or the description of a machine, what the machine is and what its
disks are.`,
		Example: `  vmconv info disk.qcow2
  vmconv info web.ova
  vmconv info --json *.qcow2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			if len(args) == 0 {
				return usagef("which image? vmconv info IMAGE...")
			}
			r := infoReport{Schema: "vmconv.info/1", Images: []imageInfo{}}
			for _, path := range args {
				if err := a.describe(cmd.Context(), &f, path, &r); err != nil {
					return err
				}
			}
			if asJSON {
				return a.printJSON(r)
			}
			return r.render(a.stdout)
		},
	}
	cmd.Flags().StringVarP(&f.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	f.registerMachine(cmd.Flags())
	return cmd
}

// infoReport is what info prints: first the images, then the machines, as they
// were named.
type infoReport struct {
	Schema   string        `json:"schema"`
	Images   []imageInfo   `json:"images"`
	Machines []machineInfo `json:"machines,omitempty"`
}

func (r *infoReport) render(w io.Writer) error {
	var parts []string
	for _, i := range r.Images {
		parts = append(parts, renderedBy(renderInfo, i))
	}
	for _, m := range r.Machines {
		parts = append(parts, renderedBy(renderMachine, m))
	}
	_, err := io.WriteString(w, strings.Join(parts, "\n"))
	return err
}

func renderedBy[T any](render func(io.Writer, T), v T) string {
	var b strings.Builder
	render(&b, v)
	return b.String()
}

// imageInfo is an image with its file.
type imageInfo struct {
	File     string `json:"file"`
	FileSize int64  `json:"file_size"`
	imagefmt.Info
}

// describe adds what lies at path to the report.
func (a *app) describe(ctx context.Context, f *imageFlags, path string, r *infoReport) error {
	src, _, err := a.openSource(ctx, f, path)
	if err != nil {
		return err
	}
	defer src.Close()
	kind, err := machine.KindOf(ctx, src, a.machineOptions(f))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if kind != machine.Image {
		m, err := machine.Describe(ctx, src, a.machineOptions(f))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		r.Machines = append(r.Machines, newMachineInfo(path, src.Size(), m))
		return nil
	}
	format, err := a.registry.Choose(src, f.format)
	if err != nil {
		return err
	}
	info, err := imagefmt.Describe(ctx, format, src, imagefmt.OpenOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.Images = append(r.Images, imageInfo{File: path, FileSize: src.Size(), Info: info})
	return nil
}

func renderInfo(w io.Writer, i imageInfo) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s %s\n", name+":", printable(fmt.Sprintf(format, args...)))
	}
	row("image", "%s", i.File)
	row("format", "%s", strings.TrimSpace(i.Format+" "+i.Variant))
	row("virtual size", "%s (%d bytes)", humanSize(i.VirtualSize), i.VirtualSize)
	row("file size", "%s (%d bytes)", humanSize(i.FileSize), i.FileSize)
	if i.ClusterSize > 0 {
		row("cluster size", "%d", i.ClusterSize)
	}
	if i.Compression != "" {
		row("compression", "%s", i.Compression)
	}
	if len(i.Features) > 0 {
		row("features", "%s", strings.Join(i.Features, " "))
	}
	if i.Backing != nil {
		row("backing file", "%s (%s)", i.Backing.Name, i.Backing.Format)
	}
	if i.DataFile != nil {
		row("data file", "%s (%s)", i.DataFile.Name, i.DataFile.Format)
	}
	if i.Encrypted {
		row("encrypted", "yes")
	}
	for _, s := range i.Snapshots {
		row("snapshot", "%s", s)
	}
	for _, b := range i.Bitmaps {
		row("bitmap", "%s", b)
	}
	for _, n := range i.Notices {
		row("notice", "%s [%s]", n.Text, n.ID)
	}
}
