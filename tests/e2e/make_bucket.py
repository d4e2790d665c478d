"""Makes a bucket in the S3 store of a member, with the keys that pgBackRest has there (AWS Signature Version 4). Argument: its name."""
import configparser, datetime, hashlib, hmac, ssl, sys, urllib.error, urllib.request

with open("/etc/pgbackrest/pgbackrest.conf", encoding="utf-8") as file:
    config = configparser.RawConfigParser()
    config.read_file(file)
of = {key.removeprefix("repo1-"): value for key, value in config["global"].items()}
host = "%s:%s" % (of["s3-endpoint"], of.get("storage-port", "443"))
at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
empty = hashlib.sha256(b"").hexdigest()
signed = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": at}
asked = ["PUT", "/" + sys.argv[1], "", *("%s:%s" % one for one in signed.items()), "", ";".join(signed), empty]
scope = [at[:8], of["s3-region"], "s3", "aws4_request"]
text = "\n".join(["AWS4-HMAC-SHA256", at, "/".join(scope), hashlib.sha256("\n".join(asked).encode()).hexdigest()])
key = ("AWS4" + of["s3-key-secret"]).encode()
for part in [*scope, text]:
    key = hmac.digest(key, part.encode(), "sha256")
words = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
signed["authorization"] = words % (of["s3-key"], "/".join(scope), ";".join(signed), key.hex())
request = urllib.request.Request("https://%s/%s" % (host, sys.argv[1]), method="PUT", headers=signed)
context = ssl.create_default_context(cafile=of.get("storage-ca-file"))
context.verify_flags &= ~ssl.VERIFY_X509_STRICT
try:
    urllib.request.urlopen(request, context=context)
except urllib.error.HTTPError as error:
    if error.code != 409:  # it is there
        sys.exit("%s: %s" % (error, error.read().decode()))
