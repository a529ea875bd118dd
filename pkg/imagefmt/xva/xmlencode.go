package xva

import (
	"bytes"
	"encoding/xml"
)

// text is a value of plain text.
func text(s string) *value     { return &value{text: s} }
func array(v ...*value) *value { return &value{kind: arrayValue, items: v} }

func boolean(b bool) *value {
	if b {
		return &value{typ: "boolean", text: "1"}
	}
	return &value{typ: "boolean", text: "0"}
}

func structure(m ...namedValue) *value { return &value{kind: structValue, members: m} }

// encode appends the value as XML.
func (v *value) encode(b *bytes.Buffer) {
	b.WriteString("<value>")
	switch {
	case v.kind == structValue:
		b.WriteString("<struct>")
		for _, m := range v.members {
			b.WriteString("<member><name>")
			_ = xml.EscapeText(b, []byte(m.name)) // a buffer takes everything
			b.WriteString("</name>")
			m.value.encode(b)
			b.WriteString("</member>")
		}
		b.WriteString("</struct>")
	case v.kind == arrayValue:
		b.WriteString("<array><data>")
		for _, item := range v.items {
			item.encode(b)
		}
		b.WriteString("</data></array>")
	case v.typ != "":
		b.WriteString("<" + v.typ + ">" + v.text + "</" + v.typ + ">")
	default:
		_ = xml.EscapeText(b, []byte(v.text))
	}
	b.WriteString("</value>")
}
