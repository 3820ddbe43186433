import nanospan

nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
tracer = nanospan.tracing
with tracer.start_as_current_span("GET /cart") as request:
    request.set_attribute("http.route", "/cart")
    with tracer.start_as_current_span("load_cart") as load:
        load.add_event("cache.miss", {"key": "cart:7"})
    with tracer.start_as_current_span("charge_card") as charge:
        charge.record_error("card declined")
        charge.set_status(nanospan.StatusCode.ERROR, "card declined")
