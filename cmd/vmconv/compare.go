package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/convert"
)

// comparison is what compare --json prints.
type comparison struct {
	Schema    string   `json:"schema"`
	Images    []string `json:"images"`
	Sizes     []int64  `json:"sizes"` // virtual, in bytes
	Same      bool     `json:"same"`
	FirstDiff *int64   `json:"first_difference,omitempty"` // byte of the disk
}

func newCompare(a *app) *cobra.Command {
	var f, second imageFlags
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "compare IMAGE IMAGE",
		Short: "Compare the disks that two images hold",
		Long: `Compare the disks that two images hold, whatever their formats. A disk that is
shorter goes on with zeros, unless --strict is given. Exit code 0 means the same,
1 different.`,
		Example: `  vmconv compare xen.img xen.qcow2
  vmconv compare -s -f raw old.img new.vmdk && rm old.img`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("which two images? vmconv compare IMAGE IMAGE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			x, err := a.openOneDisk(cmd.Context(), &f, args[0])
			if err != nil {
				return err
			}
			defer x.Close()
			second.external, second.machine, second.disk = f.external, f.machine, f.disk
			y, err := a.openOneDisk(cmd.Context(), &second, args[1])
			if err != nil {
				return err
			}
			defer y.Close()
			r := comparison{Schema: "vmconv.compare/1", Images: args, Sizes: []int64{x.image.Size(), y.image.Size()}}
			first, err := convert.Compare(cmd.Context(), x.image, y.image, a.ui.observer())
			if err != nil {
				return err
			}
			if first == convert.Same && strict && r.Sizes[0] != r.Sizes[1] {
				first = min(r.Sizes[0], r.Sizes[1])
			}
			if r.Same = first == convert.Same; !r.Same {
				r.FirstDiff = &first
			}
			return a.printComparison(r, asJSON)
		},
	}
	set := cmd.Flags()
	set.StringVarP(&f.format, "format", "f", "", "`FORMAT` of the first image; without it the image is probed")
	set.StringVarP(&second.format, "second-format", "F", "", "`FORMAT` of the second image")
	set.BoolVarP(&strict, "strict", "s", false, "disks of different sizes are different")
	set.BoolVar(&asJSON, "json", false, "print JSON")
	f.registerMachine(set)
	f.registerDisk(set)
	f.registerExternal(set)
	return cmd
}

// printComparison prints the answer; no is an exit code, and not a failure.
func (a *app) printComparison(r comparison, asJSON bool) error {
	var err error
	a.ui.progressDone()
	switch {
	case asJSON:
		err = a.printJSON(r)
	case !r.Same:
		_, err = fmt.Fprintf(a.stdout, "The disks differ from byte %d on.\n", *r.FirstDiff)
	case r.Sizes[0] != r.Sizes[1]:
		_, err = fmt.Fprintf(a.stdout, "The disks are the same but for zeros at the end: %d and %d bytes.\n", r.Sizes[0], r.Sizes[1])
	default:
		_, err = fmt.Fprintln(a.stdout, "The disks are the same.")
	}
	if err == nil && !r.Same {
		err = errNo
	}
	return err
}
