"""The forms by which tokens give themselves away, wherever they stand.

The prefixes and lengths are those that gitleaks (config/gitleaks.toml) and detect-secrets
(plugins/) know, written anew. Neither takes part in a run: one is no Python, the other looks for
random text, too, which in evidence are the names of pods and the ids of requests.
"""

from __future__ import annotations

import re

#: Who gives the token out -> its form. None has a group.
TOKEN_FORMS = {
    "1Password": r"ops_eyJ[\w+/=-]{40,}|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{5,11}-){2,4}[A-Z0-9]{5}",
    "age": r"AGE-SECRET-KEY-1[A-Z0-9]{50,}",
    "Alibaba": r"LTAI[A-Za-z0-9]{20}",
    "Anthropic": r"sk-ant-[\w-]{20,}",
    "Artifactory": r"AKCp[A-Za-z0-9]{60,}|cmVmd[A-Za-z0-9]{59}",
    "Atlassian": r"AT[AC]TT3[\w=-]{20,}",
    "AWS": r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    "Azure": r"[\w~.]{3}\dQ~[\w~.-]{31,34}",
    "Databricks": r"dapi[a-f0-9]{32}(?:-\d)?",
    "DigitalOcean": r"do[opr]_v1_[a-f0-9]{64}",
    "Discord": r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]+",
    "Docker Hub": r"dckr_[a-z]{3}_[\w-]{20,}",
    "Doppler": r"dp\.[a-z]{2,6}\.[A-Za-z0-9]{40,44}",
    "Dynatrace": r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "Fly": r"f(?:o1|m1[ar]|m2)_[\w+/=-]{40,}",
    "GitHub": r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{20,}",
    "GitLab": r"gl(?:pat|dt|ft|ffct|soat|oas|rtr?|cbt|imt|ptt|agent|wt)-[\w.-]{20,}"
    r"|GR1348941[\w-]{20,}",
    "Google": r"AIza[\w-]{35}|ya29\.[\w.-]{20,}|GOCSPX-[\w-]{20,}",
    "Grafana": r"gl(?:sa|c)_[\w+/=]{32,}",
    "Hugging Face": r"(?:hf|api_org)_[A-Za-z]{34}",
    "JSON web token in base64": r"ZXlK[\w+/=-]{40,}",
    "Linear": r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}",
    "Mailchimp": r"[0-9a-f]{32}-us\d{1,2}",
    "Mailgun": r"(?:pub)?key-[0-9a-f]{32}",
    "Microsoft Teams": r"webhook\.office\.com/webhookb2/[\w@/-]+",
    "New Relic": r"NR(?:AK|AL|II|JS|RA)-[\w-]{19,}",
    "Notion": r"ntn_[A-Za-z0-9]{40,}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "OpenAI": r"sk-(?:proj|svcacct|admin)-[\w-]{20,}|sk-[\w-]*T3BlbkFJ[\w-]{20,}",
    "Postman": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "Pulumi": r"pul-[a-f0-9]{40}",
    "PyPI": r"pypi-AgE[\w-]{50,}",
    "RubyGems": r"rubygems_[a-f0-9]{48}",
    "SendGrid": r"SG\.[\w-]{16,}\.[\w-]{16,}",
    "Sentry": r"sntry[su]_[\w+/=]{40,}",
    "Shopify": r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}",
    "Slack": r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-\d-[\w-]{10,}"
    r"|hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]+",
    "Square": r"sq0[a-z]{3}-[\w-]{22,}",
    "Stripe": r"[sr]k_(?:live|test|prod)_\w{10,}|whsec_[\w+/=]{10,}",
    "Telegram": r"\d{8,10}:A[\w-]{34}",
    "Terraform": r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",
    "Twilio": r"SK[0-9a-f]{32}",
    "Vault": r"hv[bsr]\.[\w-]{20,}",
}
KNOWN_TOKEN = re.compile(rf"\b(?:{'|'.join(TOKEN_FORMS.values())})")
