package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

func newMeasure(a *app) *cobra.Command {
	var f convertFlags
	var size string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "measure [SOURCE] -O FORMAT",
		Short: "Say beforehand how large an output would be",
		Long: `Say how many bytes an image of SOURCE, or of an empty disk of --size, would take in
another format, at most: data that turns out to be zeros, or that shrinks when it
is compressed, takes less. No data is read.`,
		Example: `  vmconv measure xen.img -O qcow2
  vmconv measure --size 40G -O vmdk --opt subformat=streamOptimized --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			if (len(args) == 1) == (size != "") || len(args) > 1 {
				return usagef("measure what? vmconv measure SOURCE -O FORMAT, or --size SIZE")
			}
			out, err := a.outputKind(&f, nil)
			if err != nil {
				return err
			}
			file, err := a.diskFile(&f, out, "", "")
			if err != nil {
				return err
			}
			var disk blockdev.Device
			if size != "" {
				n, err := parseSize(size)
				if err != nil {
					return err
				}
				disk = blockdev.Zeros(n)
			} else {
				d, err := a.openOneDisk(cmd.Context(), &f.image, args[0])
				if err != nil {
					return err
				}
				defer d.Close()
				disk = d.image
			}
			m, err := convert.Measure(cmd.Context(), disk, file.Creator, file.Options)
			if err != nil {
				return err
			}
			return a.printMeasurement(m, asJSON)
		},
	}
	set := cmd.Flags()
	set.StringVarP(&f.image.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	set.StringVar(&size, "size", "", "measure an empty disk of `SIZE` bytes (K, M, G, T for powers of 1024)")
	f.registerOutput(set)
	f.image.registerMachine(set)
	f.image.registerDisk(set)
	f.image.registerExternal(set)
	set.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printMeasurement uses the words of qemu-img measure.
func (a *app) printMeasurement(m convert.Measurement, asJSON bool) error {
	if asJSON {
		return a.printJSON(struct {
			Schema string `json:"schema"`
			convert.Measurement
		}{"vmconv.measure/1", m})
	}
	_, err := fmt.Fprintf(a.stdout, "required size: %d\nallocated size: %d\nfully allocated size: %d\n", m.Required, m.Allocated, m.Full)
	return err
}
