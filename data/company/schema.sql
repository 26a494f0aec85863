-- Nordlys Outdoor: an invented retailer of outdoor gear with stores in six
-- countries and a web shop. Money is in euros; dates are ISO 8601 text.
-- The data covers 2023-01-01 to 2025-12-31.

CREATE TABLE stores (
  store_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  city TEXT NOT NULL,
  country TEXT NOT NULL,
  store_type TEXT NOT NULL CHECK (store_type IN ('flagship', 'standard', 'outlet')),
  floor_area_m2 INTEGER NOT NULL,
  opened_on TEXT NOT NULL,
  closed_on TEXT -- NULL while open
);

CREATE TABLE employees (
  employee_id INTEGER PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  job_title TEXT NOT NULL,
  store_id INTEGER REFERENCES stores (store_id), -- NULL at head office
  manager_id INTEGER REFERENCES employees (employee_id),
  hired_on TEXT NOT NULL,
  left_on TEXT, -- NULL while employed
  monthly_salary REAL NOT NULL
);

CREATE TABLE customers (
  customer_id INTEGER PRIMARY KEY,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  email TEXT UNIQUE,
  city TEXT NOT NULL,
  country TEXT NOT NULL,
  birth_year INTEGER,
  signed_up_on TEXT NOT NULL,
  loyalty_tier TEXT CHECK (loyalty_tier IN ('bronze', 'silver', 'gold')), -- NULL if not a member
  newsletter INTEGER NOT NULL CHECK (newsletter IN (0, 1)), -- 1 if subscribed
  referred_by INTEGER REFERENCES customers (customer_id)
);

CREATE TABLE categories (
  category_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  parent_id INTEGER REFERENCES categories (category_id) -- NULL for a department
);

CREATE TABLE suppliers (
  supplier_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  country TEXT NOT NULL,
  lead_time_days INTEGER NOT NULL,
  rating REAL -- 1 to 5, NULL until audited
);

CREATE TABLE products (
  product_id INTEGER PRIMARY KEY,
  sku TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  brand TEXT NOT NULL,
  category_id INTEGER NOT NULL REFERENCES categories (category_id),
  list_price REAL NOT NULL, -- catalogue price
  unit_cost REAL NOT NULL,
  weight_g INTEGER,
  launched_on TEXT NOT NULL,
  discontinued_on TEXT -- NULL while sold
);

CREATE TABLE product_suppliers (
  product_id INTEGER NOT NULL REFERENCES products (product_id),
  supplier_id INTEGER NOT NULL REFERENCES suppliers (supplier_id),
  supply_price REAL NOT NULL,
  is_preferred INTEGER NOT NULL CHECK (is_preferred IN (0, 1)),
  PRIMARY KEY (product_id, supplier_id)
);

CREATE TABLE warehouses (
  warehouse_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  city TEXT NOT NULL,
  country TEXT NOT NULL,
  capacity_pallets INTEGER NOT NULL
);

CREATE TABLE inventory (
  warehouse_id INTEGER NOT NULL REFERENCES warehouses (warehouse_id),
  product_id INTEGER NOT NULL REFERENCES products (product_id),
  quantity INTEGER NOT NULL,
  reorder_level INTEGER NOT NULL,
  counted_on TEXT, -- last stock count
  PRIMARY KEY (warehouse_id, product_id)
);

CREATE TABLE promotions (
  promotion_id INTEGER PRIMARY KEY,
  code TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  discount_percent INTEGER NOT NULL,
  starts_on TEXT NOT NULL,
  ends_on TEXT NOT NULL
);

CREATE TABLE orders (
  order_id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
  channel TEXT NOT NULL CHECK (channel IN ('web', 'app', 'store')),
  store_id INTEGER REFERENCES stores (store_id), -- NULL unless channel is store
  employee_id INTEGER REFERENCES employees (employee_id), -- seller, store only
  promotion_id INTEGER REFERENCES promotions (promotion_id),
  status TEXT NOT NULL CHECK (status IN ('pending', 'shipped', 'delivered', 'cancelled')),
  ordered_at TEXT NOT NULL,
  shipping_fee REAL NOT NULL
);

CREATE TABLE order_items (
  order_item_id INTEGER PRIMARY KEY,
  order_id INTEGER NOT NULL REFERENCES orders (order_id),
  product_id INTEGER NOT NULL REFERENCES products (product_id),
  quantity INTEGER NOT NULL,
  unit_price REAL NOT NULL -- price charged, after discount
);

CREATE TABLE payments (
  payment_id INTEGER PRIMARY KEY,
  order_id INTEGER NOT NULL REFERENCES orders (order_id),
  method TEXT NOT NULL CHECK (method IN ('card', 'invoice', 'mobile', 'gift_card')),
  amount REAL NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('captured', 'failed', 'refunded')),
  paid_at TEXT -- NULL if failed
);

CREATE TABLE shipments (
  shipment_id INTEGER PRIMARY KEY,
  order_id INTEGER NOT NULL REFERENCES orders (order_id),
  warehouse_id INTEGER NOT NULL REFERENCES warehouses (warehouse_id),
  carrier TEXT NOT NULL,
  shipped_at TEXT NOT NULL,
  delivered_at TEXT, -- NULL while on its way
  cost REAL NOT NULL
);

CREATE TABLE returns (
  return_id INTEGER PRIMARY KEY,
  order_item_id INTEGER NOT NULL REFERENCES order_items (order_item_id),
  quantity INTEGER NOT NULL,
  reason TEXT NOT NULL,
  returned_on TEXT NOT NULL,
  refund_amount REAL -- NULL until inspected
);

CREATE TABLE reviews (
  review_id INTEGER PRIMARY KEY,
  product_id INTEGER NOT NULL REFERENCES products (product_id),
  customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
  rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
  body TEXT,
  reviewed_on TEXT NOT NULL
);

CREATE TABLE support_tickets (
  ticket_id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
  order_id INTEGER REFERENCES orders (order_id),
  employee_id INTEGER REFERENCES employees (employee_id), -- agent, NULL if unassigned
  topic TEXT NOT NULL,
  priority TEXT NOT NULL CHECK (priority IN ('low', 'normal', 'high')),
  opened_at TEXT NOT NULL,
  closed_at TEXT, -- NULL while open
  satisfaction INTEGER -- 1 to 5, NULL if not answered
);
