package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// formatRow is one format and what can be done with it.
type formatRow struct {
	Name    string            `json:"name"`
	Read    bool              `json:"read"`
	Write   bool              `json:"write"`
	InPlace bool              `json:"in_place"`
	Options []imagefmt.Option `json:"options,omitempty"`
}

func formatRows(r *imagefmt.Registry) []formatRow {
	var rows []formatRow
	for _, name := range r.Names() {
		f, err := r.Lookup(name)
		if err != nil {
			continue // a name of the registry itself
		}
		row := formatRow{Name: name, Read: true}
		if c, ok := f.(imagefmt.Creator); ok {
			row.Write, row.Options = true, c.Options()
		}
		_, row.InPlace = f.(imagefmt.Updater)
		rows = append(rows, row)
	}
	return rows
}

func newFormats(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "formats",
		Short: "List the image formats and their options",
		Example: `  vmconv formats
  vmconv formats --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.ui.json = asJSON
			rows := formatRows(a.registry)
			if asJSON {
				return a.printJSON(struct {
					Schema  string      `json:"schema"`
					Formats []formatRow `json:"formats"`
				}{"vmconv.formats/1", rows})
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "FORMAT\tREAD\tWRITE\tIN PLACE\tOPTIONS (--opt K=V)")
			for _, row := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", row.Name, yes(row.Read), yes(row.Write), yes(row.InPlace), optionNames(row.Options))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func optionNames(options []imagefmt.Option) string {
	text := ""
	for i, o := range options {
		if i > 0 {
			text += " "
		}
		text += o.Key
	}
	return text
}
