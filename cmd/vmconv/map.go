package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// mapLine is one range of map --json: one object a line.
type mapLine struct {
	Schema  string `json:"schema"`
	Start   int64  `json:"start"` // byte of the disk
	Length  int64  `json:"length"`
	State   string `json:"state"` // hole, zero, data, compressed
	Depth   int    `json:"depth"` // images of the chain above the one that stores it
	File    string `json:"file,omitempty"`
	HostOff *int64 `json:"offset,omitempty"` // byte of file, for data that lies there plainly
}

func newMap(a *app) *cobra.Command {
	var f imageFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "map IMAGE",
		Short: "Show where an image stores its disk",
		Long: `Show range by range how an image stores its disk: as a hole, as zeros, as data,
compressed; in which file of a chain, and where. Holes are left out without
--json. With --json every line is one object.`,
		Example: `  vmconv map overlay.qcow2
  vmconv map --json disk.vmdk | jq -s 'map(select(.state=="data").length) | add'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("which image? vmconv map IMAGE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			d, err := a.openOneDisk(cmd.Context(), &f, args[0])
			if err != nil {
				return err
			}
			defer d.Close()
			out := bufio.NewWriter(a.stdout)
			if asJSON {
				err = mapAsJSON(cmd.Context(), out, d.image)
			} else {
				err = mapAsText(cmd.Context(), out, d.image)
			}
			if err == nil {
				err = out.Flush()
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&f.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	f.registerMachine(cmd.Flags())
	f.registerDisk(cmd.Flags())
	f.registerExternal(cmd.Flags())
	return cmd
}

func mapAsJSON(ctx context.Context, out io.Writer, img imagefmt.Image) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for e, err := range imagefmt.Map(ctx, img, 0, img.Size()) {
		if err != nil {
			return err
		}
		line := mapLine{Schema: "vmconv.map/1", Start: e.Off, Length: e.Len, State: e.State.String(), Depth: e.Depth, File: jsonName(e.File)}
		if e.HostOff >= 0 && e.State == imagefmt.Stored {
			line.HostOff = &e.HostOff
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func mapAsText(ctx context.Context, out io.Writer, img imagefmt.Image) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "START\tLENGTH\tSTATE\tDEPTH\tOFFSET\tFILE")
	for e, err := range imagefmt.Map(ctx, img, 0, img.Size()) {
		switch {
		case err != nil:
			return err
		case e.State == imagefmt.Hole:
			continue
		}
		place := "-"
		if e.HostOff >= 0 && e.State == imagefmt.Stored {
			place = fmt.Sprintf("%#x", e.HostOff)
		}
		fmt.Fprintf(w, "%#x\t%#x\t%s\t%d\t%s\t%s\n", e.Off, e.Len, e.State, e.Depth, place, printable(e.File))
	}
	return w.Flush()
}
