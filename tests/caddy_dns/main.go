// Caddy as Debian has it, with one DNS module more, which speaks RFC 2136 to a real name server: `dns rfc2136_of_tests`.
// It stands for the modules that people build in with xcaddy, and takes its settings from a Caddyfile as they do.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

type Provider struct {
	Server  string `json:"server"`
	KeyName string `json:"key_name"`
	Key     string `json:"key"`
}

func init() { caddy.RegisterModule(Provider{}) }

func main() { caddycmd.Main() }

func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "dns.providers.rfc2136_of_tests", New: func() caddy.Module { return new(Provider) }}
}

func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	known := map[string]*string{"server": &p.Server, "key_name": &p.KeyName, "key": &p.Key}
	d.Next()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		target, there := known[d.Val()]
		if !there {
			return d.Errf("rfc2136_of_tests takes no %s", d.Val())
		}
		if !d.AllArgs(target) {
			return d.ArgErr()
		}
	}
	return nil
}

func (p *Provider) Provision(caddy.Context) error {
	replacer := caddy.NewReplacer()
	for _, text := range []*string{&p.Server, &p.KeyName, &p.Key} {
		*text = replacer.ReplaceAll(*text, "")
	}
	return nil
}

func (p *Provider) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return records, p.update(ctx, zone, records, (*dns.Msg).Insert)
}

func (p *Provider) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return records, p.update(ctx, zone, records, (*dns.Msg).Remove)
}

func (p *Provider) update(ctx context.Context, zone string, records []libdns.Record, do func(*dns.Msg, []dns.RR)) error {
	var lines []dns.RR
	for _, record := range records {
		one := record.RR()
		line, err := dns.NewRR(fmt.Sprintf("%s 2 IN %s %q", libdns.AbsoluteName(one.Name, zone), one.Type, one.Data))
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	key := dns.Fqdn(p.KeyName)
	message := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	do(message, lines)
	message.SetTsig(key, dns.HmacSHA256, 300, time.Now().Unix())
	client := dns.Client{Net: "tcp", TsigSecret: map[string]string{key: p.Key}}
	answer, _, err := client.ExchangeContext(ctx, message, p.Server)
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("the name server says %s", dns.RcodeToString[answer.Rcode])
	}
	return err
}
