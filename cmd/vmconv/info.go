package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

func newInfo(a *app) *cobra.Command {
	var f imageFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info IMAGE...",
		Short: "Describe disk images",
		Long: `Describe disk images: format, sizes, features, what they refer to. Only the
named files are opened, never a backing or data file that an image names.`,
		Example: `  vmconv info disk.qcow2
  vmconv info --json *.qcow2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			if len(args) == 0 {
				return usagef("which image? vmconv info IMAGE...")
			}
			var infos []imageInfo
			for _, path := range args {
				info, err := a.describe(cmd, &f, path)
				if err != nil {
					return err
				}
				infos = append(infos, info)
			}
			if asJSON {
				return a.printJSON(struct {
					Schema string      `json:"schema"`
					Images []imageInfo `json:"images"`
				}{"vmconv.info/1", infos})
			}
			for i, info := range infos {
				if i > 0 {
					fmt.Fprintln(a.stdout)
				}
				renderInfo(a.stdout, info)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&f.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// imageInfo is an image with its file.
type imageInfo struct {
	File     string `json:"file"`
	FileSize int64  `json:"file_size"`
	imagefmt.Info
}

func (a *app) describe(cmd *cobra.Command, f *imageFlags, path string) (imageInfo, error) {
	f.alone = true
	src, _, err := a.openSource(cmd.Context(), f, path)
	if err != nil {
		return imageInfo{}, err
	}
	defer src.Close()
	format, err := a.registry.Choose(src, f.format)
	if err != nil {
		return imageInfo{}, err
	}
	info, err := imagefmt.Describe(cmd.Context(), format, src, imagefmt.OpenOptions{})
	if err != nil {
		return imageInfo{}, fmt.Errorf("%s: %w", path, err)
	}
	return imageInfo{File: path, FileSize: src.Size(), Info: info}, nil
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
