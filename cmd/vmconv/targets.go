package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/convert/target"
)

func newTargets(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "List where guests can be converted to",
		Example: `  vmconv targets
  vmconv targets --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.ui.json = asJSON
			if asJSON {
				return a.printJSON(struct {
					Schema  string          `json:"schema"`
					Targets []target.Target `json:"targets"`
				}{"vmconv.targets/1", target.All()})
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TARGET\tWHAT\tDISK\tBUS\tNIC\tCONSOLE")
			for _, t := range target.All() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.Name, t.Title, strings.Join(t.DiskFormats, " "), t.DiskBus, t.NICModel, t.Console)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
